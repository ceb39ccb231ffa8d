#include "core/fresh_call.hpp"

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>
#include <utility>

#include <killable/errors.hpp>

#include "core/last_instruction.hpp"
#include "core/outcome.hpp"
#include "wire/slot_format.hpp"

namespace killable::core {

namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr wire::CallNumber kOnlyCall = 1;

/// How long a wait may neglect messages that the control socket did not take at once.
constexpr auto kFlushPause = 10ms;

}  // namespace

FreshCall::~FreshCall() {
  if (is_elsewhere() || !worker_) return;
  try {
    if (settle() == State::running) {
      end(wire::EndMode::kill, grace_period());
      join(os::Deadline::never());
    } else if (!reaped_) {
      session_->end(worker_->id, wire::EndMode::release, grace_period());
    }
    session_->forget(worker_->id);
    session_->refill();
  } catch (const std::exception&) {
    // Out of memory while waiting. The worker ends all the same: by the fork server's
    // ladder if the message was sent, else with the host.
  }
}

bool FreshCall::join(const os::Deadline& deadline) {
  if (is_elsewhere()) return true;
  return await_outcome(deadline) && (!is_doomed_ || await_reaped(deadline));
}

bool FreshCall::await_outcome(const os::Deadline& deadline) {
  require_started();
  while (settle() == State::running) {
    if (deadline.passed()) return false;
    WaitSet wait_set;
    wait_set.limit(deadline);
    if (watch(wait_set)) wait_set.wait();
  }
  return true;
}

bool FreshCall::watch(WaitSet& wait_set) {
  if (is_elsewhere()) return false;
  require_started();
  if (settle() != State::running) return false;
  const std::lock_guard lock(mutex_);
  if (state_ != State::running) return false;
  if (!session_->flush()) wait_set.limit(os::Deadline::in(kFlushPause));
  const std::shared_ptr<Watch> watch = worker_->watch;
  // One that broke the protocol is not heard any more.
  if (!violation_) wait_set.add(watch->bell.get(), [this, watch] { check_bell(); });
  wait_set.add(watch->pidfd.get(),
               [this, watch, &wait_set] { await_ended(wait_set.deadline()); });
  return true;
}

/// The worker is dead: now the fork server, which reaps it, has the word.
void FreshCall::await_ended(const os::Deadline& deadline) {
  if (settle() != State::running) return;
  session_->await_ended(worker_->id, deadline);
}

pid_t FreshCall::get_id() const {
  if (is_elsewhere()) return 0;
  require_started();
  const std::lock_guard lock(mutex_);
  return report_.pid;
}

bool FreshCall::request_stop() {
  if (is_elsewhere() || settle() != State::running) return false;
  const std::lock_guard lock(mutex_);
  if (state_ != State::running) return false;
  const bool first = !std::exchange(stop_requested_, true);
  if (first) worker_->request_stop();
  return first;
}

void FreshCall::end(wire::EndMode mode, nanoseconds grace) noexcept {
  if (is_elsewhere()) return;
  const std::lock_guard lock(mutex_);
  if (starting_) remember_end(mode, grace);
  if (state_ != State::running) return;
  try {
    if (mode == wire::EndMode::kill && grace == 0ns) strike();
    session_->end(worker_->id, mode, grace);
  } catch (const std::exception&) {
    // No memory to queue the message. Without a grace period, but no survivor.
    strike();
  }
}

/// The ladder's last step, a wake earlier: the fork server need not run for it.
void FreshCall::strike() noexcept {
  const os::Pidfd& pidfd = worker_->watch->pidfd;
  is_doomed_ = is_doomed_ || (!pidfd.has_ended() && pidfd.send_signal(SIGKILL));
}

State FreshCall::state() noexcept { return is_elsewhere() ? State::lost : settle(); }

State FreshCall::settle() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::running) return state_;
  look();
  if (state_ != State::running) let_go();
  return state_;
}

/// Of what only a running call needs. Other threads may still use watch and slot; they
/// hold them themselves.
void FreshCall::let_go() noexcept {
  HostWorker rest = std::move(*worker_);
  worker_->slot = committed_ ? std::move(rest.slot) : nullptr;
  session_->discard(std::move(rest));
  // Without a value nobody can ask for the arrays any more.
  if (state_ != State::returned) request_.memory.reset();
}

/// After a SIGKILL of this process's own: makes the call killed as soon as none of the
/// worker's code can run any more. False: it ends as it does otherwise.
bool FreshCall::await_last_instruction() {
  std::unique_lock lock(mutex_);
  if (state_ != State::running || !is_doomed_ || violation_) return false;
  const LastInstruction last_instruction(*worker_);
  lock.unlock();
  if (!last_instruction.await()) return false;
  lock.lock();
  if (state_ != State::running) return true;
  if (!take_commit()) {
    state_ = State::killed;
    report_.signal = SIGKILL;
    report_.wall = nanoseconds(os::monotonic_ns() - started_at_ns_);
  }
  let_go();
  return true;
}

void FreshCall::look() {
  if (take_commit()) return;
  if (!worker_->watch->pidfd.has_ended() && !session_->is_lost()) return;
  const std::optional<wire::Ended> ended = session_->ended(worker_->id);
  // Once more: what was committed before the end counts, whatever the end was.
  if (take_commit()) return;
  if (ended) {
    take_end(*ended);
  } else if (session_->is_lost()) {
    state_ = State::lost;
    reaped_ = true;
  }
}

bool FreshCall::take_commit() {
  if (violation_) return false;
  try {
    committed_ = worker_->slot->committed(worker_->id, kOnlyCall);
    if (!committed_) return false;
    state_ = state_of(*committed_);
    return true;
  } catch (const ProtocolViolation& violation) {
    committed_.reset();
    violate(violation.what());
    return false;
  }
}

void FreshCall::take_end(wire::Ended ended) {
  const pid_t pid = report_.pid;
  if (is_doomed_) claim_kill(ended);
  report_ = report_of(ended, started_at_ns_);
  report_.pid = pid;
  reaped_ = true;
  if (violation_) report_.state = State::killed;
  if (state_ == State::running) {
    state_ = report_.state;
    return;
  }
  report_.state = state_;
  if (!committed_) return;
  // Past the commit nothing of the call was going on. The instant is the worker's claim.
  const std::uint64_t entered = ended.entered_at_ns;
  const std::uint64_t committed = committed_->committed_at_ns;
  if (entered != 0 && entered <= committed && committed <= ended.ended_at_ns)
    report_.wall = nanoseconds(committed - entered);
}

void FreshCall::check_bell() {
  if (settle() != State::running) return;
  const std::lock_guard lock(mutex_);
  if (state_ == State::running && !violation_)
    violate("the worker rang without a result");
}

/// A worker that breaks the protocol is not heard any more, but ended.
void FreshCall::violate(const std::string& how) {
  violation_ = how;
  session_->end(worker_->id, wire::EndMode::kill, 0ns);
}

Report FreshCall::report() {
  if (is_elsewhere()) return {.state = State::lost};
  const State state = settle();
  if (state == State::not_started || state == State::running) {
    const std::lock_guard lock(mutex_);
    return {.state = state, .pid = report_.pid};
  }
  await_reaped(os::Deadline::never());
  const std::lock_guard lock(mutex_);
  Report report = report_;
  report.state = state;
  return report;
}

/// The result of a call comes before its worker is gone; its evidence only after that.
bool FreshCall::await_reaped(const os::Deadline& deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (reaped_ || !worker_) return true;
    if (!std::exchange(is_released_, true))
      session_->end(worker_->id, wire::EndMode::release, grace_period());
  }
  if (!session_->await_ended(worker_->id, deadline)) return false;
  const std::optional<wire::Ended> ended = session_->ended(worker_->id);
  const std::lock_guard lock(mutex_);
  if (!reaped_ && ended) take_end(*ended);
  return true;
}

detail::Source FreshCall::result() {
  if (is_elsewhere()) throw WorkerLost(title() + " belongs to this process's parent");
  if (!await_last_instruction()) await_outcome(os::Deadline::never());
  const State state = settle();
  if (state != State::returned && state != State::threw) {
    const Report report = report_so_far();
    if (violation_) throw ProtocolViolation(title() + ": " + *violation_);
    throw_outcome(report, title(), request_.options);
  }
  const std::lock_guard lock(mutex_);
  return value_of(state, inline_result_
                             ? channel::HostSlot::Result{inline_result_->sink.bytes(), {}}
                             : slot_result());
}

/// Of a worker that was killed a moment ago, and is not gone yet, some is missing.
Report FreshCall::report_so_far() {
  const std::lock_guard lock(mutex_);
  Report report = report_;
  report.state = state_;
  return report;
}

channel::HostSlot::Result FreshCall::slot_result() {
  channel::HostSlot::Result result = worker_->slot->result(kOnlyCall, *committed_);
  worker_->slot->close_memfd();
  return result;
}

void FreshCall::require_started() const {
  const std::lock_guard lock(mutex_);
  if (state_ == State::not_started)
    throw std::logic_error("cannot wait for " + request_.options.name +
                           ": it was not started");
}

}  // namespace killable::core
