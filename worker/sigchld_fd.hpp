#pragma once

#include "os/unique_fd.hpp"

namespace killable::worker {

/// Blocks SIGCHLD in this single-threaded process and returns a signalfd(2) that becomes
/// readable by it. Throws std::system_error.
os::UniqueFd make_sigchld_fd();

/// One SIGCHLD may tell of any number of children: after draining, look at all of them.
void drain_sigchld_fd(int fd) noexcept;

}  // namespace killable::worker
