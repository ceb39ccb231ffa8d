#pragma once

#include <sys/types.h>

#include "os/unique_fd.hpp"

namespace killable::os {

/// Refers to one process for good: unlike a pid it can never come to mean another, so a
/// signal sent late is an error and not a stranger's death. See pidfd_open(2), Linux 5.3.
class Pidfd {
 public:
  Pidfd() noexcept = default;
  explicit Pidfd(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  /// Opens process `pid`; empty, with errno set, if there is no such process or no
  /// descriptor left. Only a process that cannot be reaped meanwhile is surely the one
  /// that is meant: the caller's own child, or one whose ancestry is checked afterwards.
  static Pidfd open(pid_t pid) noexcept;

  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  int get() const noexcept { return fd_.get(); }
  UniqueFd take() && noexcept { return std::move(fd_); }

  /// Whether the signal was sent; false if the process is gone. Async-signal-safe.
  /// See pidfd_send_signal(2), Linux 5.1.
  bool send_signal(int signal) const noexcept;

  /// Whether every thread of the process has ended; it need not have been reaped.
  bool has_ended() const noexcept;

 private:
  UniqueFd fd_;
};

}  // namespace killable::os
