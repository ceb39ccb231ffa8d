#include <algorithm>
#include <chrono>

#include "channel/shared_memory.hpp"
#include "core/outcome.hpp"
#include "core/pool.hpp"
#include "os/spin.hpp"

/// How calls go to a worker. A worker that is alone with a long queue of tiny calls gets
/// a row of them at a time, so that one wake does for all. What it has not started can be
/// taken back: a kill hits one call, and a call does not wait behind one that takes long.
namespace killable::core {

namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

/// Calls that take longer do not gain by rows.
constexpr nanoseconds kTinyRun = 500us;

/// Nor, with a wake each way, by spinning.
constexpr nanoseconds kHurriedRun = 3 * os::kSpin;

/// The most that the arguments of a call in a row take.
constexpr std::size_t kTinyArguments = 4096;

}  // namespace

void Pool::give(PoolWorker& worker, PoolCall& call) {
  if (!hand_over_memory(worker, call)) return;
  add(worker, call);
  launch(worker, call);
}

void Pool::launch(PoolWorker& worker, PoolCall& call) {
  if (call.pending_end_) {
    // The worker does not even learn of it.
    end_running(call, call.pending_end_->mode, call.pending_end_->grace);
  } else {
    publish(worker);
    if (call.stop_requested_) worker.request_stop();
  }
  // Who waits for the call can lead now.
  changed_.notify_all();
}

bool Pool::hand_over_memory(PoolWorker& worker, PoolCall& call) try {
  channel::hand_over(worker.host.channel, call.request().memory->attached());
  return true;
} catch (const std::system_error& error) {
  retire(worker, wire::EndMode::kill);
  resolve(call, {.state = State::threw, .failure = start_error(call.title(), error)});
  return false;
} catch (const std::exception&) {
  retire(worker, wire::EndMode::kill);
  resolve(call, {.state = State::threw, .failure = std::current_exception()});
  return false;
}

void Pool::give_next(PoolWorker& worker) {
  PoolCall& first = begin_first();
  if (first.stop_requested_ || first.has_memory()) return give(worker, first);
  add(worker, first);
  for (std::size_t left = row_length() - 1;
       left > 0 && !queue_.empty() && may_follow(worker, queue_.first()); --left)
    add(worker, begin_first());
  publish(worker);
  if (worker.calls.size() > 1 && !watches_rows_) wake();
  changed_.notify_all();
}

void Pool::publish(PoolWorker& worker) {
  using Next = channel::HostInbox::Next;
  worker.host.inbox->publish(is_hurried() ? Next::soon : Next::later);
}

bool Pool::is_hurried() const noexcept { return recent_run_ <= kHurriedRun; }

channel::OutgoingCall Pool::assign(PoolWorker& worker, PoolCall& call) {
  if (worker.phase == Phase::idle) std::erase(idle_, &worker);
  worker.phase = Phase::busy;
  worker.calls.push_back(&call);
  worker.progressed_at = call.started_at_;
  ++worker.given;
  call.worker_ = &worker;
  call.pid_ = worker.host.pid;
  if (const auto timeout = call.options().timeout) {
    worker.is_armed = true;
    worker.session->arm(
        worker.host.id,
        worker.given == 1 ? wire::TimeoutFrom::entry : wire::TimeoutFrom::now, *timeout,
        call.grace_period());
    wake();
  }
  channel::OutgoingCall outgoing = call.outgoing();
  if (&call == worker.initializer.get())
    outgoing.afterwards = wire::Afterwards::wait;
  else if (!worker.is_spent(options_))
    outgoing.afterwards = wire::Afterwards::wait_if_clean;
  return outgoing;
}

void Pool::add(PoolWorker& worker, PoolCall& call) {
  worker.host.inbox->add(assign(worker, call));
}

std::size_t Pool::row_length() const noexcept {
  if (workers_.size() < limit_ || recent_run_ > kTinyRun) return 1;
  return std::clamp<std::size_t>(queue_.size() / limit_, 1, wire::kRing);
}

bool Pool::may_follow(const PoolWorker& worker, const PoolCall& call) const noexcept {
  return !worker.is_copying && recent_run_ <= kTinyRun && workers_.size() >= limit_ &&
         !worker.is_condemned &&
         !worker.is_armed && !worker.runs_initializer() && !call.options().timeout &&
         !call.stop_requested_ && !call.has_memory() &&
         !call.needs_own_worker(options_.call) && !worker.has_answered_ahead() &&
         options_.max_worker_memory_bytes == 0 && !worker.is_spent(options_) &&
         worker.host.inbox->last() < wire::kMaxCalls &&
         call.request().arguments->size() <= kTinyArguments &&
         worker.host.inbox->has_room_for(kTinyArguments);
}

void Pool::requeue(PoolCall& call) {
  queue_.put_back(call);
  call.worker_ = nullptr;
  call.pid_ = 0;
  if (call.is_users()) --running_;
}

void Pool::requeue_from(PoolWorker& worker, std::size_t index) {
  while (worker.calls.size() > index) {
    requeue(*worker.calls.back());
    worker.calls.pop_back();
    --worker.given;
  }
}

bool Pool::take_back(PoolWorker& worker, std::size_t index) {
  if (!worker.withdraw(index)) return false;
  requeue_from(worker, index);
  return true;
}

bool Pool::isolate(PoolCall& call) {
  PoolWorker& worker = *call.worker_;
  while (call.worker_ != nullptr) {
    const auto found = std::ranges::find(worker.calls, &call);
    const auto index = static_cast<std::size_t>(found - worker.calls.begin());
    if (take_back(worker, std::max<std::size_t>(index, 1))) break;
    // The worker has started a call behind the first one, whose result is there, then.
    if (!collect_one(worker)) violate(worker, "the worker is ahead of its results");
  }
  // The thread gives the worker more, but not before the caller has seen to the call,
  // which might else be given, too.
  wake();
  return call.worker_ != nullptr;
}

void Pool::reclaim_stalled(PoolWorker& worker) {
  const nanoseconds run = os::Clock::now() - worker.progressed_at;
  if (worker.calls.size() < 2 || run < kStall) return;
  if (take_back(worker, 1))
    recent_run_ = std::max(recent_run_, run);
  else if (!collect_one(worker))
    violate(worker, "the worker is ahead of its results");
}

}  // namespace killable::core
