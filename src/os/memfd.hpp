#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "os/unique_fd.hpp"

namespace killable::os {

/// Anonymous shared memory of `bytes` bytes, all zero and not yet allocated: a large one
/// costs nothing until it is touched. Its size is fixed for every holder, for good
/// (F_SEAL_SHRINK, F_SEAL_GROW), so that nobody can turn a read of another's into SIGBUS.
/// Throws std::system_error that names `what`. See memfd_create(2).
UniqueFd create_memfd(const std::string& what, std::uint64_t bytes);

/// Anonymous shared memory that holds a copy of `bytes` and that nobody, its maker
/// included, can change or resize ever after. See fcntl(2), F_SEAL_FUTURE_WRITE, Linux
/// 5.1.
UniqueFd create_sealed_memfd(const std::string& what, std::span<const std::byte> bytes);

/// Forbids further seals.
void seal_seals(int memfd, const std::string& what);

}  // namespace killable::os
