#pragma once

#include <poll.h>
#include <time.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

namespace killable::os {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC: one time for all processes.

/// An instant to wait for, or never.
class Deadline {
 public:
  static Deadline never() noexcept { return {}; }
  static Deadline at(Clock::time_point instant) noexcept;
  /// `timeout` from now; one that is too large to add is never.
  static Deadline in(std::chrono::nanoseconds timeout) noexcept;

  bool is_never() const noexcept { return !instant_; }
  bool passed() const noexcept { return instant_ && Clock::now() >= *instant_; }
  /// Requires: not is_never().
  Clock::time_point instant() const noexcept { return *instant_; }
  /// What is left, at least zero; empty if never.
  std::optional<timespec> left() const noexcept;

 private:
  std::optional<Clock::time_point> instant_;
};

/// The same duration, or the longest that nanoseconds can tell.
std::chrono::nanoseconds saturated(std::chrono::milliseconds duration) noexcept;

/// Nanoseconds of CLOCK_MONOTONIC.
std::uint64_t monotonic_ns() noexcept;

/// poll(2) until an event, `deadline` or a signal handler's EINTR; sets revents.
/// Returns the number of entries with events; 0 also after EINTR, so callers loop.
/// Throws std::system_error on any other failure.
int poll_until(std::span<pollfd> fds, const Deadline& deadline);

/// Whether `fd` has `events` now, or POLLHUP or POLLERR.
bool is_ready(int fd, short events) noexcept;

}  // namespace killable::os
