#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "os/unique_fd.hpp"

namespace killable::os {

/// Anonymous shared memory of `bytes` zeros, close-on-exec, that costs nothing until it
/// is touched. Throws std::system_error that names `what`. See memfd_create(2).
UniqueFd create_memfd(const std::string& what, std::uint64_t bytes);

/// What nobody, its maker included, can do with a memfd ever after.
enum class Seals {
  /// Resize it, and so turn a read of another's into SIGBUS.
  size,
  /// Nor write to it, but by the mappings that exist. See fcntl(2), F_SEAL_FUTURE_WRITE,
  /// Linux 5.1.
  size_and_future_writes,
};

/// Forbids that, for good, and all further seals. Throws std::system_error.
void seal(int memfd, Seals seals, const std::string& what);

/// Gives that part of a memfd's memory back to the system; it reads as zeros then.
void discard(int memfd, std::uint64_t offset, std::uint64_t bytes) noexcept;

/// A memfd that holds `parts`, one behind the other, sealed against every change.
UniqueFd create_sealed_memfd(const std::string& what,
                             std::span<const std::span<const std::byte>> parts);

}  // namespace killable::os
