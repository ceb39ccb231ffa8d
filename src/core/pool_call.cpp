#include "core/pool_call.hpp"

#include <stdexcept>
#include <utility>

#include <killable/errors.hpp>

#include "core/outcome.hpp"
#include "core/pool.hpp"

namespace killable::core {

std::shared_ptr<const detail::HeapSink> copy_of_bytes(std::span<const std::byte> bytes) {
  auto copy = std::make_shared<detail::HeapSink>();
  copy->write(bytes.data(), bytes.size());
  return copy;
}

PoolCall::PoolCall(detail::CallRequest request, std::shared_ptr<Pool> pool)
    : Call(std::move(request)), pool_(std::move(pool)) {}

PoolCall::~PoolCall() {
  if (!pool_) return;  // The pool's own.
  if (is_elsewhere()) {
    // Its lock may be held, and its condition variable waited for, by threads that do not
    // exist here.
    [[maybe_unused]] const auto* leaked = new std::shared_ptr<Pool>(std::move(pool_));
    return;
  }
  end(wire::EndMode::kill, grace_period());
  join(os::Deadline::never());
}

void PoolCall::start() {
  throw std::logic_error("cannot start " + Call::title(get_id()) +
                         ": the pool has started it");
}

void PoolCall::run() { start(); }

bool PoolCall::join(const os::Deadline& deadline) {
  return is_elsewhere() || pool_->join(*this, deadline);
}

pid_t PoolCall::get_id() const { return is_elsewhere() ? 0 : pool_->pid_of(*this); }

bool PoolCall::request_stop() { return !is_elsewhere() && pool_->request_stop(*this); }

void PoolCall::end(wire::EndMode mode, std::chrono::nanoseconds grace) noexcept {
  if (!is_elsewhere()) pool_->end(*this, mode, grace);
}

State PoolCall::state() noexcept {
  return is_elsewhere() ? State::lost : pool_->look_at(*this);
}

Report PoolCall::report() {
  if (is_elsewhere()) return {.state = State::lost};
  if (state() == State::running)
    return {.state = State::running, .pid = pool_->pid_of(*this)};
  join(os::Deadline::never());
  return outcome_.report;
}

detail::Source PoolCall::result() {
  if (is_elsewhere()) throw WorkerLost(title() + " belongs to this process's parent");
  if (const std::optional<Report> so_far = pool_->await_end(*this))
    throw_outcome(*so_far, title(), options());
  if (outcome_.failure) std::rethrow_exception(outcome_.failure);
  if (!outcome_.bytes) throw_outcome(outcome_.report, title(), options());
  return value_of(outcome_.state, {outcome_.bytes->bytes(), outcome_.arrays});
}

bool PoolCall::watch(WaitSet& wait_set) {
  return !is_elsewhere() && pool_->watch(*this, wait_set);
}

bool PoolCall::needs_own_worker(const Options& defaults) const noexcept {
  return options().start_method == StartMethod::spawn ||
         options().max_result_bytes > defaults.max_result_bytes ||
         request().arguments->size() > Session::kInboxCapacity;
}

}  // namespace killable::core
