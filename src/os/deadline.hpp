#pragma once

#include <poll.h>
#include <time.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>

namespace killable::os {

using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC: one time for all processes.

/// An instant to wait for, or never, which is later than all others: of two deadlines
/// std::min is the one that comes first.
class Deadline {
 public:
  static Deadline never() noexcept { return {}; }
  static Deadline at(Clock::time_point instant) noexcept;
  /// `timeout` after `start`, or from now; one that is too large to add is never.
  static Deadline after(Clock::time_point start,
                        std::chrono::nanoseconds timeout) noexcept;
  static Deadline in(std::chrono::nanoseconds timeout) noexcept;

  bool is_never() const noexcept { return instant_ == Clock::time_point::max(); }
  bool passed() const noexcept { return !is_never() && Clock::now() >= instant_; }
  /// Requires: not is_never().
  Clock::time_point instant() const noexcept { return instant_; }
  /// What is left, at least zero; empty if never.
  std::optional<timespec> left() const noexcept;

  friend bool operator<(const Deadline& a, const Deadline& b) noexcept {
    return a.instant_ < b.instant_;
  }

 private:
  Clock::time_point instant_ = Clock::time_point::max();
};

/// The same duration, or the longest that nanoseconds can tell.
std::chrono::nanoseconds saturated(std::chrono::milliseconds duration) noexcept;

/// Nanoseconds of CLOCK_MONOTONIC.
std::uint64_t monotonic_ns() noexcept;

/// poll(2) until an event, `deadline` or a signal handler's EINTR; sets revents.
/// Returns the number of entries with events; 0 also after EINTR, so callers loop.
/// Throws std::system_error on any other failure.
int poll_until(std::span<pollfd> fds, const Deadline& deadline);

/// Waits on `changed` until it is notified, `deadline`, or for no reason: callers loop.
void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                const Deadline& deadline);

/// Whether `fd` has `events` now, or POLLHUP or POLLERR.
bool is_ready(int fd, short events) noexcept;

}  // namespace killable::os
