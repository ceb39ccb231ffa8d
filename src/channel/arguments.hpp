#pragma once

#include <cstddef>
#include <span>

#include "channel/mapping.hpp"
#include "os/unique_fd.hpp"

namespace killable::channel {

/// Copies `arguments` into a memfd that its receiver can read and nobody can write.
/// Throws std::system_error. See F_SEAL_FUTURE_WRITE in fcntl(2), Linux 5.1.
os::UniqueFd share_arguments(std::span<const std::byte> arguments);

}  // namespace killable::channel
