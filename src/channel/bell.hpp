#pragma once

#include "os/unique_fd.hpp"

/// An eventfd(2) that one side rings and the other polls: the worker tells the host of
/// its result, the host asks the worker to stop. It rings once and stays rung: a call
/// ends once. Nothing is ever read from it, so a worker that drains, floods or closes its
/// copy can at worst hide its own result, and its pidfd tells when it is gone.
namespace killable::channel {

/// Throws std::system_error.
os::UniqueFd make_bell();

/// Async-signal-safe.
void ring(int bell) noexcept;

bool has_rung(int bell) noexcept;

}  // namespace killable::channel
