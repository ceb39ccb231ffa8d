#pragma once

#include <signal.h>

namespace killable::os {

/// Blocks every signal in the calling thread for its lifetime.
class BlockedSignals {
 public:
  BlockedSignals() noexcept;
  ~BlockedSignals();
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

/// Gives every signal its default disposition and unblocks all: an exec'd process
/// inherits what its parent ignores and blocks. See signal(7), "Signal mask and pending
/// signals".
void reset_signals() noexcept;

/// Only the latter.
void unblock_signals() noexcept;

}  // namespace killable::os
