#include "worker/ladder.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "worker/tree.hpp"

namespace killable::worker {

namespace {

using namespace std::chrono_literals;

/// A call that was not entered has no clock yet: its arguments are being decoded, or the
/// processors are busy. One that was not entered this long after its start never will be.
constexpr auto kEntryLimit = 60s;

}  // namespace

Ladder::Ladder(pid_t pid, os::Pidfd pidfd, os::UniqueFd entry)
    : pid_(pid), pidfd_(std::move(pidfd)), entry_(std::move(entry)) {}

void Ladder::arm(wire::TimeoutFrom from, std::chrono::nanoseconds timeout,
                 std::chrono::nanoseconds grace) {
  from_ = from;
  timeout_ = timeout;
  timeout_grace_ = grace;
  armed_at_ = Clock::now();
  if (phase_ == Phase::running) timer_ = os::Deadline::in(timeout);
}

bool Ladder::disarm() noexcept {
  if (phase_ != Phase::running) return false;
  timeout_.reset();
  timer_ = os::Deadline::never();
  return true;
}

void Ladder::terminate() {
  if (phase_ != Phase::running || pidfd_.has_ended()) return;
  if (by_ == wire::EndedBy::itself) by_ = wire::EndedBy::terminate;
  send_sigterm();
}

void Ladder::kill(std::chrono::nanoseconds grace) { climb(wire::EndedBy::kill, grace); }

void Ladder::release(std::chrono::nanoseconds grace) {
  climb(wire::EndedBy::release, grace);
}

void Ladder::climb(wire::EndedBy by, std::chrono::nanoseconds grace) {
  const os::Deadline deadline = os::Deadline::in(grace);
  switch (phase_) {
    case Phase::running:
      // An end that came before ours is not ours.
      if (pidfd_.has_ended()) return;
      by_ = by;
      phase_ = Phase::terminating;
      timer_ = deadline;
      // A worker that is released has done its work, and ends by itself.
      if (by != wire::EndedBy::release && grace > 0ns) send_sigterm();
      break;
    case Phase::terminating:
      // A second, more impatient kill shortens the grace period and never extends it.
      timer_ = std::min(timer_, deadline);
      break;
    case Phase::killing:
    case Phase::dead: return;
  }
  if (timer_.passed()) step();
}

void Ladder::send_sigterm() {
  pidfd_.send_signal(SIGTERM);
  // A stopped process would keep the SIGTERM pending for ever.
  pidfd_.send_signal(SIGCONT);
}

void Ladder::step() {
  switch (phase_) {
    case Phase::running: check_timeout(); break;
    case Phase::terminating: phase_ = Phase::killing; return strike();
    case Phase::killing: kill_descendants(pid_); return strike();
    case Phase::dead: break;
  }
}

void Ladder::check_timeout() {
  const bool from_entry = from_ == wire::TimeoutFrom::entry;
  const std::uint64_t entered = from_entry ? entered_at_ns() : 0;
  const Clock::time_point now = Clock::now();
  if (from_entry && entered == 0 && now - armed_at_ < kEntryLimit) {
    timer_ = os::Deadline::in(std::clamp<std::chrono::nanoseconds>(*timeout_, 1ms, 1s));
    return;
  }
  const Clock::time_point due =
      (entered == 0 ? armed_at_ : Clock::time_point(std::chrono::nanoseconds(entered))) +
      *timeout_;
  if (due > now)
    timer_ = os::Deadline::at(due);
  else
    climb(wire::EndedBy::timeout, timeout_grace_);
}

void Ladder::strike() {
  // A process has to be scheduled to die: ahead of others, where that is permitted.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid_), -20);
  pidfd_.send_signal(SIGKILL);
  // What a dead worker leaves comes to the fork server. To look for it before that would
  // only take the processor from the worker, so that is for one that does not die.
  timer_ = os::Deadline::in(kRoundPause);
}

void Ladder::died() noexcept {
  phase_ = Phase::dead;
  timer_ = os::Deadline::never();
}

std::uint64_t Ladder::entered_at_ns() {
  std::uint64_t entered = 0;
  if (entry_ && ::read(entry_.get(), &entered, sizeof entered) == sizeof entered) {
    entered_at_ns_ = entered;
    entry_.reset();
  }
  return entered_at_ns_;
}

}  // namespace killable::worker
