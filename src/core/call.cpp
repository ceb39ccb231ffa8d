#include "core/call.hpp"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include <killable/detail/exception.hpp>
#include <killable/errors.hpp>

#include "channel/bell.hpp"
#include "core/checked_options.hpp"
#include "core/outcome.hpp"
#include "wire/slot_format.hpp"

namespace killable::core {

namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

/// Decoded values are larger than their encoding: nodes, pointers, padding.
constexpr std::uint64_t kMemoryPerResultByte = 8;

/// How long a wait may neglect messages that the control socket did not take at once.
constexpr auto kFlushPause = 10ms;

std::uint64_t memory_budget(std::uint64_t max_result_bytes) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  return max_result_bytes > kMax / kMemoryPerResultByte
             ? kMax
             : std::max<std::uint64_t>(max_result_bytes, wire::kMinResultBytes) *
                   kMemoryPerResultByte;
}

}  // namespace

Call::Call(detail::CallRequest request)
    : request_(std::move(request)), owner_(::getpid()) {
  request_.options = checked(std::move(request_.options));
}

Call::~Call() {
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

bool Call::join(const os::Deadline& deadline) {
  require_started();
  Call* const self = this;
  while (settle() == State::running) {
    if (deadline.passed()) return false;
    await_news(std::span(&self, 1), deadline);
  }
  return true;
}

void Call::await_news(std::span<Call* const> calls, const os::Deadline& deadline) {
  std::vector<Interest> interests;
  std::vector<pollfd> fds;
  bool flushed = true;
  for (Call* call : calls) {
    std::optional<Interest> interest = call->interest();
    if (!interest) return;  // It has ended meanwhile.
    const int bell = interest->heeds_bell ? interest->watch->bell.get() : -1;
    fds.push_back({.fd = bell, .events = POLLIN, .revents = 0});
    fds.push_back({.fd = interest->watch->pidfd.get(), .events = POLLIN, .revents = 0});
    flushed &= interest->session->flush();
    interests.push_back(std::move(*interest));
  }
  os::poll_until(fds, flushed ? deadline : os::Deadline::in(kFlushPause));
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (fds[2 * i].revents != 0) calls[i]->check_bell();
    // Dead: now the fork server, which reaps it, has the word.
    if (fds[2 * i + 1].revents != 0 && calls[i]->settle() == State::running) {
      interests[i].session->await_ended(interests[i].worker, deadline);
      return;
    }
  }
}

std::optional<Call::Interest> Call::interest() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::running) return std::nullopt;
  return Interest{.worker = worker_->id,
                  .session = session_,
                  .watch = worker_->watch,
                  .heeds_bell = !violation_};
}

pid_t Call::get_id() const {
  require_started();
  const std::lock_guard lock(mutex_);
  return report_.pid;
}

bool Call::request_stop() {
  if (is_elsewhere() || settle() != State::running) return false;
  const std::lock_guard lock(mutex_);
  if (state_ != State::running) return false;
  const bool first = !std::exchange(stop_requested_, true);
  if (first) channel::ring(worker_->stop.get());
  return first;
}

void Call::end(wire::EndMode mode, nanoseconds grace) noexcept {
  if (is_elsewhere()) return;
  const std::lock_guard lock(mutex_);
  try {
    if (state_ == State::running) {
      session_->end(worker_->id, mode, grace);
    } else if (starting_) {
      remember_end({.mode = mode, .worker = 0, .grace_ns = grace.count()});
    }
  } catch (const std::exception&) {
    // No memory to queue the message. Without a grace period, but no survivor.
    worker_->watch->pidfd.send_signal(SIGKILL);
  }
}

/// A kill outdoes a SIGTERM alone, and of two kills the more impatient one counts: as in
/// the fork server's ladder.
void Call::remember_end(const wire::End& end) noexcept {
  const bool is_kill = end.mode == wire::EndMode::kill;
  const bool is_first_kill = !pending_end_ || pending_end_->mode != wire::EndMode::kill;
  if (!pending_end_ ||
      (is_kill && (is_first_kill || end.grace_ns < pending_end_->grace_ns)))
    pending_end_ = end;
}

nanoseconds Call::grace_period() const noexcept {
  return os::saturated(request_.options.grace_period);
}

State Call::state() noexcept { return is_elsewhere() ? State::lost : settle(); }

State Call::settle() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::running) return state_;
  look();
  if (state_ != State::running) {
    // Other threads may still poll the watch; they hold it themselves.
    worker_->watch.reset();
    worker_->inbox.reset();
    worker_->stop.reset();
    if (!committed_) worker_->slot.reset();
  }
  return state_;
}

void Call::look() {
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

bool Call::take_commit() {
  if (violation_) return false;
  try {
    committed_ = worker_->slot->committed(worker_->id);
    if (!committed_) return false;
    const bool is_value = committed_->kind == wire::ResultKind::value;
    if (is_value && committed_->length > request_.options.max_result_bytes)
      throw ProtocolViolation("the worker committed " +
                              std::to_string(committed_->length) +
                              " bytes, more than max_result_bytes");
    state_ = is_value ? State::returned : State::threw;
    return true;
  } catch (const ProtocolViolation& violation) {
    committed_.reset();
    violate(violation.what());
    return false;
  }
}

void Call::take_end(const wire::Ended& ended) {
  const pid_t pid = report_.pid;
  report_ = report_of(ended, started_at_ns_);
  report_.pid = pid;
  reaped_ = true;
  if (violation_) report_.state = State::killed;
  if (state_ == State::running) {
    state_ = report_.state;
    return;
  }
  report_.state = state_;
  // Past the commit nothing of the call was going on. The instant is the worker's claim.
  const std::uint64_t entered = ended.entered_at_ns;
  const std::uint64_t committed = committed_->committed_at_ns;
  if (entered != 0 && entered <= committed && committed <= ended.ended_at_ns)
    report_.wall = nanoseconds(committed - entered);
}

void Call::check_bell() {
  if (settle() != State::running) return;
  const std::lock_guard lock(mutex_);
  if (state_ == State::running && !violation_)
    violate("the worker rang without a result");
}

/// A worker that breaks the protocol is not heard any more, but ended.
void Call::violate(const std::string& how) {
  violation_ = how;
  session_->end(worker_->id, wire::EndMode::kill, 0ns);
}

Report Call::report() {
  if (is_elsewhere()) return {.state = State::lost};
  const State state = settle();
  if (state == State::not_started || state == State::running) {
    const std::lock_guard lock(mutex_);
    return {.state = state, .pid = report_.pid};
  }
  await_reaped();
  const std::lock_guard lock(mutex_);
  Report report = report_;
  report.state = state;
  return report;
}

/// The result of a call comes before its worker is gone; its evidence only after that.
void Call::await_reaped() {
  {
    const std::lock_guard lock(mutex_);
    if (reaped_ || !worker_) return;
    session_->end(worker_->id, wire::EndMode::release, grace_period());
  }
  session_->await_ended(worker_->id, os::Deadline::never());
  const std::optional<wire::Ended> ended = session_->ended(worker_->id);
  const std::lock_guard lock(mutex_);
  if (!reaped_ && ended) take_end(*ended);
}

detail::Source Call::result() {
  join(os::Deadline::never());
  if (is_elsewhere()) throw WorkerLost(title() + " belongs to this process's parent");
  const State state = settle();
  if (state != State::returned && state != State::threw) {
    const Report report = this->report();
    if (violation_) throw ProtocolViolation(title() + ": " + *violation_);
    throw_outcome(report, title(), request_.options);
  }
  const std::lock_guard lock(mutex_);
  const auto bytes =
      inline_result_ ? inline_result_->sink.bytes() : worker_->slot->result(*committed_);
  detail::Source source(bytes, memory_budget(request_.options.max_result_bytes));
  if (state == State::threw) std::rethrow_exception(detail::decode_exception(source));
  return source;
}

void Call::require_started() const {
  if (is_elsewhere()) return;
  const std::lock_guard lock(mutex_);
  if (state_ == State::not_started)
    throw std::logic_error("cannot wait for " + request_.options.name +
                           ": it was not started");
}

/// In a child of fork(2) the call is the parent's, and the lock may be held by a thread
/// that does not exist here.
bool Call::is_elsewhere() const noexcept { return owner_ != ::getpid(); }

std::string Call::title() const {
  std::string title = "call '" + request_.options.name + "'";
  if (report_.pid != 0) title += " (process " + std::to_string(report_.pid) + ")";
  return title;
}

}  // namespace killable::core
