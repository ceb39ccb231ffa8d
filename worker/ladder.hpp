#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "os/deadline.hpp"
#include "os/pidfd.hpp"
#include "os/unique_fd.hpp"
#include "wire/control.hpp"

namespace killable::worker {

/// One worker as the fork server sees it, and the one place where workers are ended, be
/// it by kill(), a timeout, the handle's destructor or its own death:
///
///              Arm's timeout, End                   grace period
///   running ----------------------> terminating ------------------> killing
///      |    SIGTERM SIGCONT              |       SIGKILL; then again,    |
///      |                                 |       to the whole tree       |
///      +---------------------------------+-------------------------------+--> dead
///                               reaped
///
/// Only steps of ours that came before the death count as its reason: see by().
/// Not thread-safe; never blocks.
class Ladder {
 public:
  using Clock = os::Clock;

  /// `entry` is the eventfd in which the worker leaves the time of the function's entry,
  /// before it closes its copy: user code cannot forge it.
  Ladder(pid_t pid, os::Pidfd pidfd, os::UniqueFd entry);

  pid_t pid() const noexcept { return pid_; }
  const os::Pidfd& pidfd() const noexcept { return pidfd_; }

  /// Ends the worker once `timeout` has passed.
  void arm(wire::TimeoutFrom from, std::chrono::nanoseconds timeout,
           std::chrono::nanoseconds grace);
  /// Takes that back. False: it is too late, or nothing to wait for.
  bool disarm() noexcept;

  void terminate();
  void kill(std::chrono::nanoseconds grace);
  void release(std::chrono::nanoseconds grace);

  /// Takes the step that is due by now, if any. To be called when timer() has passed.
  void step();
  const os::Deadline& timer() const noexcept { return timer_; }

  /// The worker was reaped.
  void died() noexcept;
  bool is_dead() const noexcept { return phase_ == Phase::dead; }

  wire::EndedBy by() const noexcept { return by_; }
  /// Nanoseconds of CLOCK_MONOTONIC; 0 if the function was not entered.
  std::uint64_t entered_at_ns();

 private:
  enum class Phase { running, terminating, killing, dead };

  void climb(wire::EndedBy by, std::chrono::nanoseconds grace);
  void send_sigterm();
  void check_timeout();
  void strike();

  pid_t pid_;
  os::Pidfd pidfd_;
  os::UniqueFd entry_;  ///< Until it has been read.
  std::uint64_t entered_at_ns_ = 0;
  Clock::time_point armed_at_{};
  wire::TimeoutFrom from_ = wire::TimeoutFrom::entry;
  std::optional<std::chrono::nanoseconds> timeout_;
  std::chrono::nanoseconds timeout_grace_{0};
  Phase phase_ = Phase::running;
  wire::EndedBy by_ = wire::EndedBy::itself;
  os::Deadline timer_ = os::Deadline::never();
};

}  // namespace killable::worker
