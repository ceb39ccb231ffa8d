#include "core/pool.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <killable/detail/bytes.hpp>
#include <killable/errors.hpp>

#include "channel/bell.hpp"
#include "core/check_options.hpp"
#include "core/fresh_call.hpp"
#include "os/process.hpp"
#include "os/signals.hpp"

namespace killable::core {

namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

std::size_t worker_limit(std::size_t asked) {
  return asked != 0 ? asked : std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

Pool::Pool(PoolOptions options, std::shared_ptr<const detail::CallRequest> initializer)
    : options_(std::move(options)),
      initializer_(std::move(initializer)),
      limit_(worker_limit(options_.workers)),
      owner_(os::this_process()),
      bell_(std::make_shared<const os::UniqueFd>(channel::make_bell())),
      queue_(options_.queue_timeout) {
  check_options(options_.call);
  if (initializer_ && !initializer_->memory->attached().empty())
    throw std::invalid_argument("a pool's initializer cannot take a SharedArray");
  if (options_.queue_timeout && *options_.queue_timeout <= 0ns)
    throw std::invalid_argument("PoolOptions::queue_timeout must be positive");
}

Pool::~Pool() {
  if (thread_.joinable()) thread_.join();
}

std::size_t Pool::capacity() const noexcept {
  return options_.max_queued == 0 ? std::size_t(-1) : limit_ + options_.max_queued;
}

bool Pool::is_elsewhere() const noexcept { return owner_ != os::this_process(); }

// --- From submit() to a worker ---

std::shared_ptr<Call> Pool::submit(detail::CallRequest request) {
  if (is_elsewhere())
    throw std::logic_error("cannot submit to a pool of the parent process");
  if (request.captured)
    throw std::invalid_argument(
        "cannot submit a forked() callable: a pool's workers are no forks of this "
        "process");
  if (is_inline_mode()) {
    auto call = std::make_shared<FreshCall>(std::move(request));
    call->run();
    return call;
  }
  auto call = std::make_shared<PoolCall>(std::move(request), shared_from_this());
  call->check_function_is_reachable();
  Lock lock(mutex_);
  enqueue(lock, *call);
  return call;
}

void Pool::enqueue(Lock& lock, PoolCall& call) {
  if (is_shut_) throw std::logic_error("cannot submit to a pool that was shut down");
  if (broken_) return resolve(call, *broken_);
  require_room();
  queue_.push(call);
  if (find_worker_for(lock, call)) return;
  if (!thread_.joinable()) {
    // The host's signals are none of its business.
    const os::BlockedSignals quiet;
    thread_ = std::thread([this] { serve(); });
  }
  wake();
}

void Pool::require_room() const {
  if (options_.max_queued == 0) return;
  // A call that a worker, or one that can be made, will take at once does not wait.
  const auto busy = static_cast<std::size_t>(std::ranges::count_if(
      workers_, [](const auto& worker) { return worker->phase == Phase::busy; }));
  const std::size_t takers = limit_ - std::min(limit_, busy);
  if (queue_.size() >= options_.max_queued + takers)
    throw QueueFull("cannot submit: " + std::to_string(queue_.size()) +
                    " calls wait for a worker");
}

PoolCall& Pool::begin_first() { return begin(queue_.pop()); }

PoolCall& Pool::begin(PoolCall& call) {
  call.phase_ = PoolCall::Phase::running;
  call.started_at_ = os::Clock::now();
  if (call.is_users()) {
    waits_.add(call.started_at_ - call.submitted_at_);
    ++running_;
  }
  return call;
}

bool Pool::find_worker_for(Lock& lock, PoolCall& call) {
  if (queue_.size() > 1 || call.needs_own_worker(options_.call)) return false;
  if (PoolWorker* const idle = idle_worker()) {
    give(lock, *idle, begin_first());
    return true;
  }
  // One may have ended its call without anybody having looked; it takes what is queued.
  for (const auto& worker : workers_)
    if (worker->phase == Phase::busy && !worker->is_led && !long_result(*worker) &&
        collect(*worker) && call.phase_ != PoolCall::Phase::queued)
      return true;
  return false;
}

PoolWorker* Pool::idle_worker() {
  while (!idle_.empty() && idle_.front()->has_answered_ahead())
    retire(*idle_.front(), wire::EndMode::kill);
  return idle_.empty() ? nullptr : idle_.front();
}

void Pool::make_idle(PoolWorker& worker) {
  if (worker.has_answered_ahead()) return retire(worker, wire::EndMode::kill);
  worker.phase = Phase::idle;
  idle_.push_back(&worker);
  if (is_shut_) wake();  // It is to be dismissed, if nothing is queued.
  if (queue_.empty()) return;
  const PoolCall& first = queue_.first();
  if (!first.needs_own_worker(options_.call) && !first.has_long_arguments())
    return give_next(worker);
  wake();  // It has to make room for a worker of another kind, or to copy for a while.
}

// --- From a result to the next call ---

bool Pool::collect(PoolWorker& worker) {
  if (!collect_one(worker)) return false;
  while (collect_one(worker)) {
  }
  finish_row(worker);
  return true;
}

bool Pool::collect_one(PoolWorker& worker) {
  if (worker.is_copying) return false;
  std::optional<Result> result = take_result(worker);
  if (!result) return false;
  PoolOutcome& outcome = result->outcome;
  PoolCall& call = *worker.call();
  const bool was_initializer = worker.runs_initializer();
  worker.calls.erase(worker.calls.begin());
  if (worker.host.inbox) {
    using Wake = channel::HostInbox::Wake;
    const bool is_small = outcome.bytes && outcome.bytes->size() <= wire::kCellBytes;
    worker.host.inbox->take(is_small ? Wake::nobody : Wake::worker);
  }
  worker.false_rings = 0;
  worker.progressed_at = os::Clock::now();
  if (PoolCall* const next = worker.call()) next->started_at_ = worker.progressed_at;
  resolve(call, std::move(outcome));
  if (worker.phase == Phase::dying) return true;
  if (was_initializer) take_initializer_outcome(worker);
  finish_call(worker, result->is_clean);
  return true;
}

std::optional<Pool::Result> Pool::take_result(PoolWorker& worker) try {
  PoolCall* const call = worker.call();
  if (call == nullptr || call->has_ended() || call->outcome_.failure) return std::nullopt;
  channel::HostSlot& slot = *worker.host.slot;
  const wire::CallNumber number = worker.number();
  const auto committed = slot.committed(worker.host.id, number);
  if (!committed) return std::nullopt;
  const State state = call->state_of(*committed);
  const auto [bytes, arrays] = slot.result(number, *committed);
  auto copied = std::exchange(worker.copied_result, nullptr);
  if (!copied) copied = copy_of_bytes(bytes);
  PoolOutcome outcome{.state = state, .bytes = std::move(copied), .arrays = arrays};
  if (worker.note_memory(std::max(bytes.size(), call->request().arguments->size())))
    wake();
  // What lies in the slot is the call's, as long as anybody holds it.
  return Result{.outcome = std::move(outcome),
                .is_clean = committed->is_clean && !arrays};
} catch (const ProtocolViolation& violation) {
  violate(worker, violation.what());
  return std::nullopt;
} catch (const std::exception&) {
  // No memory for the result.
  return Result{.outcome = {.state = State::threw, .failure = std::current_exception()},
                .is_clean = false};
}

void Pool::finish_call(PoolWorker& worker, bool is_clean) {
  if (is_clean && worker.may_go_on(options_)) return;
  if (is_clean) {
    if (take_back(worker, 0)) retire(worker, wire::EndMode::kill);
    return;
  }
  requeue_from(worker, 0);  // It exits by itself and starts none of them.
  retire(worker, wire::EndMode::release);
}

void Pool::finish_row(PoolWorker& worker) {
  if (worker.phase != Phase::busy) return;
  if (!worker.calls.empty()) {
    if (worker.calls.size() <= wire::kRing / 2 && !queue_.empty() &&
        may_follow(worker, queue_.first()))
      give_next(worker);
    return;
  }
  if (!std::exchange(worker.is_armed, false)) return make_idle(worker);
  worker.phase = Phase::disarming;
  worker.session->disarm(worker.host.id);
}

void Pool::retire(PoolWorker& worker, wire::EndMode mode) {
  if (worker.phase == Phase::idle) std::erase(idle_, &worker);
  worker.phase = Phase::dying;
  // What its call leaves to be destroyed gets as long as that of a fresh worker.
  worker.session->end(worker.host.id, mode, os::saturated(options_.call.grace_period));
  wake();
}

void Pool::violate(PoolWorker& worker, const std::string& how) {
  PoolCall& call = *worker.call();
  requeue_from(worker, 1);
  call.outcome_.failure =
      std::make_exception_ptr(ProtocolViolation(call.title() + ": " + how));
  worker.phase = Phase::dying;
  worker.session->end(worker.host.id, wire::EndMode::kill, 0ns);
  wake();
}

void Pool::resolve(PoolCall& call, PoolOutcome outcome) {
  if (call.phase_ != PoolCall::Phase::struck) note_end(call);
  if (outcome.bytes) outcome.report.wall = os::Clock::now() - call.started_at_;
  outcome.report.state = outcome.state;
  outcome.report.pid = call.pid_;
  // Here, since many threads may ask for the result at a time.
  call.request().memory->set_slot_arrays(outcome.arrays);
  if (call.outcome_.failure) outcome.failure = call.outcome_.failure;
  call.phase_ = PoolCall::Phase::done;
  call.worker_ = nullptr;
  call.outcome_ = std::move(outcome);
  changed_.notify_all();
}

void Pool::note_end(const PoolCall& call) noexcept {
  if (call.is_users()) ++completed_;
  if (call.phase_ == PoolCall::Phase::running && call.is_users()) {
    --running_;
    const nanoseconds run = os::Clock::now() - call.started_at_;
    runs_.add(run);
    recent_run_ += (run - recent_run_) / 4;
  }
  for (const auto& watcher : watchers_)
    if (const auto bell = watcher.lock()) channel::ring(bell->get());
}

// --- Of all calls ---

void Pool::kill_all() noexcept {
  const Lock lock(mutex_);
  fail_queue({.state = State::killed});
  for (const auto& worker : workers_) {
    const auto end = [this](PoolCall& call) {
      end_locked(call, wire::EndMode::kill, call.grace_period());
    };
    while (worker->calls.size() > 1) end(*worker->calls.back());
    if (PoolCall* const call = worker->call()) end(*call);
  }
  // What a worker that broke the protocol had not run.
  fail_queue({.state = State::killed});
}

void Pool::shutdown() {
  Lock lock(mutex_);
  is_shut_ = true;
  wake();
  changed_.wait(lock, [&] { return !thread_.joinable() || thread_ended_; });
}

PoolStats Pool::stats() {
  const Lock lock(mutex_);
  const std::size_t workers = places_taken();
  return {.queued = queue_.size(),
          .running = running_,
          .workers = workers,
          .completed = completed_,
          .recycled = recycled_ + (workers_.size() - workers),
          .wait_p50 = waits_.quantile(0.5),
          .wait_p99 = waits_.quantile(0.99),
          .run_p50 = runs_.quantile(0.5),
          .run_p99 = runs_.quantile(0.99)};
}

void Pool::wake() const noexcept { channel::ring(bell_->get()); }

}  // namespace killable::core
