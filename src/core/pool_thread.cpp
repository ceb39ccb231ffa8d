#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include <killable/errors.hpp>

#include "channel/bell.hpp"
#include "core/outcome.hpp"
#include "core/pool.hpp"
#include "core/runtime.hpp"
#include "os/errno_error.hpp"

/// What the pool's own thread does.
namespace killable::core {

namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

/// Workers that may die before they enter a call, until it is the call's own end.
constexpr int kMaxAttempts = 3;

/// Initializers that fail in a row, until no more workers are made.
constexpr int kMaxFailures = 3;

/// When a worker could not be made, and others live: until the next attempt.
constexpr auto kRetryPause = 100ms;

/// While something waits for the result of a worker that is led: whoever leads it may
/// leave it to this thread, and to be told of that each time would cost every call a
/// wake.
constexpr auto kHandoverPause = 2ms;

/// Until messages are sent that the control socket did not take at once.
constexpr auto kFlushPause = 10ms;

/// After a worker was taken from the spares: until another is forked, which would take a
/// processor from the call that the worker was taken for.
constexpr auto kRefillPause = 2ms;

detail::CallRequest copy_of(const detail::CallRequest& request) {
  auto arguments = std::make_unique<detail::HeapSink>();
  arguments->write(request.arguments->bytes().data(), request.arguments->size());
  return {.options = request.options,
          .arguments = std::move(arguments),
          .memory = std::make_unique<detail::CallMemory>(),
          .trampoline = request.trampoline,
          .captured = nullptr};
}

std::exception_ptr waited_too_long(const std::string& title, nanoseconds queue_timeout) {
  const Report report{.state = State::timed_out};
  return std::make_exception_ptr(TimedOut(
      title + " waited longer than queue_timeout for a worker", queue_timeout, report));
}

}  // namespace

void Pool::serve() {
  Lock lock(mutex_);
  while (has_work()) {
    try {
      take_turn(lock);
    } catch (const std::exception&) {
      // Short of memory, which may be back in a moment.
      if (!lock.owns_lock()) lock.lock();
      changed_.wait_for(lock, kRetryPause);
    }
  }
  thread_ended_ = true;
  changed_.notify_all();
}

void Pool::take_turn(Lock& lock) {
  for (const auto& worker : workers_) tend(lock, *worker);
  remove_buried();
  expire_queue();
  grow(lock);
  refill(lock);
  if (has_work()) poll(lock);
}

bool Pool::has_work() const noexcept {
  return !is_shut_ || !queue_.empty() || running_ != 0 || !workers_.empty();
}

void Pool::tend(Lock& lock, PoolWorker& worker) {
  reclaim_stalled(worker);
  if (!worker.is_led && see_to_end(lock, worker)) return;
  finish_row(worker);
  if (worker.is_led) return;
  if (worker.phase == Phase::busy && needs_watching(worker)) collect(lock, worker);
  if (worker.phase == Phase::disarming && worker.session->is_disarmed(worker.host.id))
    make_idle(worker);
  if (worker.phase == Phase::idle) {
    worker.trim_if_due();
    if (worker.is_condemned) retire(worker, wire::EndMode::kill);
  }
  if (is_shut_ && queue_.empty()) dismiss(worker);
}

bool Pool::see_to_end(Lock& lock, PoolWorker& worker) {
  const bool is_lost = worker.session->is_lost();
  worker.is_dead = worker.is_dead || worker.host.watch->pidfd.has_ended();
  if (!worker.is_dead && !is_lost) return false;
  let_go(lock, worker);
  const std::optional<wire::Ended> ended = worker.session->ended(worker.host.id);
  if (ended || is_lost) bury(worker, ended);
  return true;
}

void Pool::dismiss(PoolWorker& worker) {
  if (worker.phase == Phase::idle) retire(worker, wire::EndMode::kill);
  if (worker.runs_initializer()) end_running(*worker.call(), wire::EndMode::kill, 0ns);
}

/// What was committed before the end counts, whatever the end was. What waits behind the
/// call that it ran does not wait for the fork server, too.
void Pool::let_go(Lock& lock, PoolWorker& worker) {
  if (worker.phase == Phase::idle) std::erase(idle_, &worker);
  const bool was_initializer = worker.runs_initializer();
  worker.phase = Phase::dying;
  collect(lock, worker);
  if (was_initializer && worker.calls.empty()) take_initializer_outcome(worker);
  requeue_from(worker, 1);
}

void Pool::bury(PoolWorker& worker, const std::optional<wire::Ended>& ended) {
  const bool was_initializer = worker.runs_initializer();
  if (!worker.calls.empty()) end_call_of_dead(worker, ended);
  if (was_initializer) take_initializer_outcome(worker);
  worker.session->forget(worker.host.id);
  worker.host.slot.reset();
  ++recycled_;
}

void Pool::end_call_of_dead(PoolWorker& worker, const std::optional<wire::Ended>& ended) {
  const bool was_entered = worker.host.slot->entered() >= worker.number();
  PoolCall& call = *worker.calls.front();
  worker.calls.erase(worker.calls.begin());
  if (ended && !was_entered && !worker.is_doomed && ended->by == wire::EndedBy::itself &&
      call.attempts_ < kMaxAttempts && &call != worker.initializer.get() &&
      !call.pending_end_) {
    // Somebody has killed an idle worker just as it was given this call.
    ++call.attempts_;
    return requeue(call);
  }
  if (!ended && call.has_ended())
    return resolve(call, {.state = State::killed, .report = call.outcome_.report});
  if (!ended) return resolve(call, {.state = State::lost});
  const auto started = static_cast<std::uint64_t>(
      nanoseconds(call.started_at_.time_since_epoch()).count());
  wire::Ended of_call = *ended;
  if (worker.is_doomed) claim_kill(of_call);
  of_call.entered_at_ns = std::max(of_call.entered_at_ns, started);
  const Report report = report_of(of_call, started);
  resolve(call, {.state = call.outcome_.failure ? State::killed : report.state,
                 .report = report});
}

void Pool::remove_buried() {
  std::erase_if(workers_, [](const auto& worker) { return !worker->host.slot; });
  if (workers_.empty()) changed_.notify_all();
}

/// An initializer that fails again and again will not do better in the next worker. To be
/// killed or lost is no failure of its own.
void Pool::take_initializer_outcome(PoolWorker& worker) {
  const PoolOutcome& outcome = worker.initializer->outcome_;
  const bool was_ended = outcome.state == State::killed || outcome.state == State::lost;
  if (was_ended && !outcome.failure) return;
  if (outcome.state == State::returned) {
    failures_ = 0;
    return;
  }
  worker.is_condemned = true;
  if (++failures_ < kMaxFailures) return;
  broken_ = outcome;
  fail_queue(outcome);
}

void Pool::fail_queue(const PoolOutcome& outcome) {
  while (!queue_.empty()) resolve(queue_.pop(), outcome);
}

// --- New workers ---

void Pool::grow(Lock& lock) {
  if (broken_) return fail_queue(*broken_);  // What workers have given back since.
  while (!queue_.empty() && (!retry_ || retry_->passed())) {
    retry_.reset();
    const bool is_full = places_taken() >= limit_;
    if (queue_.first().needs_own_worker(options_.call)) {
      if (is_full && !idle_.empty()) retire(*idle_.front(), wire::EndMode::kill);
      if (is_full) return;
      make_own_worker(lock, begin_first());
    } else if (PoolWorker* const idle = idle_worker()) {
      give(lock, *idle, begin_first());
    } else {
      // Those that run their initializer will take calls by themselves.
      if (is_full || workers_to_come() >= queue_.size()) return;
      make_worker(lock);
    }
  }
}

void Pool::refill(Lock& lock) {
  if (!drained_ || !refill_.passed()) return;
  const std::shared_ptr<Session> session = std::exchange(drained_, nullptr);
  lock.unlock();
  session->refill();
  lock.lock();
}

/// The place of a dead worker is free at once, and not when what it left is gone, too.
/// But before another takes it, the pool has to know whether its initializer has failed.
std::size_t Pool::places_taken() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(workers_, [](const auto& worker) {
    return !worker->is_dead || worker->runs_initializer();
  }));
}

std::size_t Pool::workers_to_come() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      workers_, [](const auto& worker) { return worker->runs_initializer(); }));
}

void Pool::make_worker(Lock& lock) try {
  lock.unlock();
  const std::shared_ptr<Session> session = Runtime::instance().session();
  std::optional<HostWorker> made = session->make_idle(options_.call.max_result_bytes);
  lock.lock();
  if (!made) return;  // The session is lost; the next turn finds another.
  drained_ = session;
  refill_ = os::Deadline::in(kRefillPause);
  adopt(lock, std::make_unique<PoolWorker>(
                  PoolWorker{.session = session, .host = std::move(*made)}));
} catch (const std::system_error& error) {
  if (!lock.owns_lock()) lock.lock();
  fail_to_make_worker(error);
}

void Pool::adopt(Lock& lock, std::unique_ptr<PoolWorker> made) {
  PoolWorker& worker = add_worker(std::move(made));
  if (!initializer_) return make_idle(worker);
  worker.initializer = std::make_unique<PoolCall>(copy_of(*initializer_), nullptr);
  give(lock, worker, begin(*worker.initializer));
}

void Pool::make_own_worker(Lock& lock, PoolCall& call) try {
  lock.unlock();
  const std::shared_ptr<Session> session = Runtime::instance().session();
  std::optional<HostWorker> made = session->start(call.session_request());
  lock.lock();
  if (!made) return requeue(call);  // The session is lost; the next turn finds another.
  made->inbox.reset();
  auto owned = std::make_unique<PoolWorker>(
      PoolWorker{.session = session, .host = std::move(*made)});
  PoolWorker& worker = add_worker(std::move(owned));
  worker.phase = Phase::busy;
  worker.calls.push_back(&call);
  worker.given = 1;
  call.worker_ = &worker;
  call.pid_ = worker.host.pid;
  if (call.stop_requested_) worker.host.request_stop();
  if (call.pending_end_)
    end_running(call, call.pending_end_->mode, call.pending_end_->grace);
  changed_.notify_all();
} catch (const std::system_error& error) {
  if (!lock.owns_lock()) lock.lock();
  resolve(call, {.state = State::threw, .failure = start_error(call.title(), error)});
} catch (const std::bad_alloc& error) {
  if (!lock.owns_lock()) lock.lock();
  resolve(call, {.state = State::threw, .failure = start_error(call.title(), error)});
} catch (const std::exception&) {
  if (!lock.owns_lock()) lock.lock();
  resolve(call, {.state = State::threw, .failure = std::current_exception()});
}

PoolWorker& Pool::add_worker(std::unique_ptr<PoolWorker> made) {
  idle_.reserve(workers_.size() + 1);  // So that it can always become idle.
  PoolWorker& worker = *workers_.emplace_back(std::move(made));
  worker.session->notify_of(worker.host.id, bell_);
  return worker;
}

void Pool::fail_to_make_worker(const std::system_error& error) {
  if (places_taken() != 0) {
    retry_ = os::Deadline::in(kRetryPause);
    return;
  }
  if (queue_.empty()) return;
  PoolCall& call = queue_.pop();
  resolve(call, {.state = State::threw, .failure = start_error(call.title(), error)});
}

// --- Waiting ---

void Pool::expire_queue() {
  while (queue_.first_deadline().passed()) {
    PoolCall& call = queue_.pop();
    resolve(call, {.state = State::timed_out,
                   .failure = waited_too_long(call.title(), *options_.queue_timeout)});
  }
}

os::Deadline Pool::next_deadline() const {
  os::Deadline next = retry_.value_or(os::Deadline::never());
  const auto include = [&](const os::Deadline& due) { next = std::min(next, due); };
  include(queue_.first_deadline());
  if (drained_) include(refill_);
  for (const auto& worker : workers_) {
    if (worker->is_led && is_awaited()) include(os::Deadline::in(kHandoverPause));
    // Who takes in the result of a worker that is busy by then looks at that itself.
    if (worker->phase == Phase::idle || !worker->trim_at.passed())
      include(worker->trim_at);
    if (worker->calls.size() > 1)
      include(os::Deadline::after(worker->progressed_at, kStall));
  }
  return next;
}

bool Pool::is_awaited() const noexcept {
  return !queue_.empty() || is_shut_ || !watchers_.empty();
}

bool Pool::needs_watching(const PoolWorker& worker) const noexcept {
  return is_awaited() || worker.is_armed || worker.runs_initializer() ||
         (worker.call() != nullptr && worker.call()->pending_end_);
}

void Pool::poll(Lock& lock) {
  std::erase_if(watchers_, [](const auto& watcher) { return watcher.expired(); });
  std::vector<pollfd> fds;
  const auto add = [&](int fd) {
    fds.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  };
  add(bell_->get());
  std::vector<std::shared_ptr<Watch>> watches;  // Keep open what is polled.
  std::vector<std::shared_ptr<Session>> sessions;
  for (const auto& worker : workers_) {
    if (std::ranges::find(sessions, worker->session) == sessions.end()) {
      sessions.push_back(worker->session);
      if (!worker->session->is_lost()) add(worker->session->control_fd());
    }
    if (worker->is_led) continue;
    watches.push_back(worker->host.watch);
    if (!worker->is_dead) add(worker->host.watch->pidfd.get());
    if (worker->phase == Phase::busy && needs_watching(*worker))
      add(worker->host.watch->bell.get());
  }
  os::Deadline deadline = next_deadline();
  for (const auto& session : sessions)
    if (!session->flush()) deadline = std::min(deadline, os::Deadline::in(kFlushPause));
  watches_rows_ = std::ranges::any_of(
      workers_, [](const auto& worker) { return worker->calls.size() > 1; });
  lock.unlock();
  os::poll_until(fds, deadline);
  lock.lock();
  watches_rows_ = false;
  channel::silence(bell_->get());
  for (const auto& session : sessions) session->receive_news();
  for (const auto& worker : workers_)
    if (!worker->is_led && worker->phase == Phase::busy && needs_watching(*worker) &&
        channel::silence(worker->host.watch->bell.get()))
      hear(lock, *worker);
}

}  // namespace killable::core
