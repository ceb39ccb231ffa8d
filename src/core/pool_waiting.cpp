#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <exception>

#include "channel/bell.hpp"
#include "core/last_instruction.hpp"
#include "core/pool.hpp"

/// What a call asks of its pool: to be waited for, looked at, stopped and ended.
namespace killable::core {

namespace {

using std::chrono::nanoseconds;

/// A worker may ring for a result that was taken in before it rang, but not for ever.
constexpr int kMaxFalseRings = 1000;

/// Whether the result of its call is there, if need be after a moment; else the bell is
/// silent, and rings for it.
bool is_committed(const PoolWorker& worker, wire::CallNumber number, bool spins) {
  const channel::HostSlot& slot = *worker.host.slot;
  if (spins && slot.spin_for_commit(worker.host.id, number)) return true;
  if (!worker.rings_late) return false;
  channel::silence(worker.host.watch->bell.get());
  return slot.has_commit(worker.host.id, number);
}

}  // namespace

bool Pool::join(PoolCall& call, const os::Deadline& deadline) {
  Lock lock(mutex_);
  while (call.phase_ != PoolCall::Phase::done) {
    const bool is_late = deadline.passed();
    await_news(lock, call, deadline);
    if (is_late) return call.phase_ == PoolCall::Phase::done;
  }
  return true;
}

std::optional<Report> Pool::await_end(PoolCall& call) {
  Lock lock(mutex_);
  const auto is_doomed = [&] {
    return call.worker_ != nullptr && call.worker_->is_doomed;
  };
  while (!call.has_ended() && !is_doomed()) await_news(lock, call, os::Deadline::never());
  if (!call.has_ended()) await_last_instruction(lock, call);
  while (!call.has_ended()) await_news(lock, call, os::Deadline::never());
  if (call.phase_ == PoolCall::Phase::done) return std::nullopt;
  return call.outcome_.report;
}

void Pool::await_news(Lock& lock, PoolCall& call, const os::Deadline& deadline) {
  PoolWorker* const worker = call.worker_;
  const bool can_lead = worker != nullptr && !worker->is_led && !worker->is_dead;
  if ((can_lead && collect(lock, *worker)) || deadline.passed()) return;
  if (can_lead)
    lead(lock, *worker, deadline);
  else
    os::wait_until(changed_, lock, deadline);
}

void Pool::await_last_instruction(Lock& lock, PoolCall& call) {
  PoolWorker& worker = *call.worker_;
  const LastInstruction last_instruction(worker.host);
  lock.unlock();
  const bool is_over = last_instruction.await();
  lock.lock();
  if (!is_over || call.worker_ != &worker || call.has_ended() || collect(worker)) return;
  note_end(call);
  call.phase_ = PoolCall::Phase::struck;
  call.outcome_.state = State::killed;
  call.outcome_.report = {.state = State::killed,
                          .pid = call.pid_,
                          .signal = SIGKILL,
                          .wall = os::Clock::now() - call.started_at_};
  worker.phase = Phase::dying;
  changed_.notify_all();
}

void Pool::lead(Lock& lock, PoolWorker& worker, const os::Deadline& deadline) {
  std::array<pollfd, 2> fds{
      pollfd{.fd = worker.host.watch->bell.get(), .events = POLLIN, .revents = 0},
      pollfd{.fd = worker.host.watch->pidfd.get(), .events = POLLIN, .revents = 0}};
  // What waits in a row may be taken from this worker meanwhile.
  const os::Deadline stall = worker.calls.size() > 1
                                 ? os::Deadline::after(worker.progressed_at, kStall)
                                 : os::Deadline::never();
  const wire::CallNumber number = worker.number();
  const bool spins = is_hurried();
  worker.is_led = true;
  lock.unlock();
  worker.rings_late = is_committed(worker, number, spins);
  if (!worker.rings_late) os::poll_until(fds, std::min(stall, deadline));
  lock.lock();
  worker.is_led = false;
  if (worker.rings_late && collect(lock, worker)) return;
  if (fds[1].revents != 0) worker.is_dead = true;
  if (fds[0].revents != 0) {
    channel::silence(worker.host.watch->bell.get());
    if (hear(lock, worker)) return;
  }
  reclaim_stalled(worker);
  // Somebody else may be waiting for the same call, and what led to here may be for the
  // thread to see to.
  changed_.notify_all();
  wake();
}

bool Pool::hear(Lock& lock, PoolWorker& worker) {
  if (collect(lock, worker)) return true;
  if (worker.call() != nullptr && ++worker.false_rings > kMaxFalseRings)
    violate(worker, "the worker rings without a result");
  return false;
}

State Pool::look_at(PoolCall& call) {
  Lock lock(mutex_);
  if (call.worker_ != nullptr && !call.worker_->is_led) collect(lock, *call.worker_);
  return call.has_ended() ? call.outcome_.state : State::running;
}

pid_t Pool::pid_of(const PoolCall& call) {
  const Lock lock(mutex_);
  return call.pid_;
}

bool Pool::watch(PoolCall& call, WaitSet& wait_set) {
  if (look_at(call) != State::running) return false;
  const Lock lock(mutex_);
  if (call.has_ended()) return false;
  watchers_.push_back(wait_set.bell());
  wake();
  return true;
}

bool Pool::request_stop(PoolCall& call) {
  const Lock lock(mutex_);
  if (call.has_ended() || call.stop_requested_) return false;
  call.stop_requested_ = true;
  if (call.worker_ != nullptr && isolate(call)) call.worker_->request_stop();
  return !call.has_ended();
}

void Pool::end(PoolCall& call, wire::EndMode mode, nanoseconds grace) noexcept {
  const Lock lock(mutex_);
  end_locked(call, mode, grace);
}

void Pool::end_locked(PoolCall& call, wire::EndMode mode, nanoseconds grace) noexcept {
  if (call.phase_ == PoolCall::Phase::running) end_running(call, mode, grace);
  if (call.phase_ != PoolCall::Phase::queued) return;  // Else it was, or is again.
  queue_.take(call);
  resolve(call, {.state = State::killed});
}

void Pool::end_running(PoolCall& call, wire::EndMode mode, nanoseconds grace) noexcept {
  call.remember_end(mode, grace);
  if (call.worker_ == nullptr) return;
  if (call.worker_->is_copying && call.worker_->call() == &call) return;
  PoolWorker& worker = *call.worker_;
  try {
    if (!isolate(call)) return;
    // A result that is in is delivered: a long one by who waits for it, or the thread.
    if (long_result(worker)) return wake();
    if (collect(worker)) return;
    // From now on it gets no other call, which this could hit.
    worker.is_condemned = true;
    if (mode == wire::EndMode::kill && grace == nanoseconds(0)) worker.strike();
    worker.session->end(worker.host.id, mode, grace);
  } catch (const std::exception&) {
    // No memory to queue the message. Without a grace period, but no survivor.
    worker.is_condemned = true;
    worker.strike();
  }
}

}  // namespace killable::core
