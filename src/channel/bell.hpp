#pragma once

#include "os/unique_fd.hpp"

/// An eventfd(2) that one side rings and the other polls. What matters is that it has
/// rung, not how often. A worker that drains, floods or closes its copy can at worst hide
/// its own result, and its pidfd tells when it is gone.
namespace killable::channel {

/// Throws std::system_error.
os::UniqueFd make_bell();

/// Async-signal-safe. Requires: `bell` is not one that a worker has, which could make it
/// block; or this is the worker.
void ring(int bell) noexcept;

/// Forgets that it has rung; false: it has not. Never blocks, also if a worker has
/// cleared O_NONBLOCK, which host and worker share. See preadv2(2), RWF_NOWAIT; for
/// eventfds Linux 5.8.
bool silence(int bell) noexcept;

}  // namespace killable::channel
