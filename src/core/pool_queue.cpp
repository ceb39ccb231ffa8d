#include "core/pool_queue.hpp"

#include <algorithm>

namespace killable::core {

os::Deadline PoolQueue::first_deadline() const noexcept {
  if (!timeout_ || empty()) return os::Deadline::never();
  return os::Deadline::after(first().submitted_at_, *timeout_);
}

void PoolQueue::push(PoolCall& call) noexcept { insert(calls_.end(), call); }

void PoolQueue::put_back(PoolCall& call) noexcept {
  const auto later = std::ranges::find_if(calls_, [&](const PoolCall& queued) {
    return queued.submitted_at_ > call.submitted_at_;
  });
  insert(later, call);
}

PoolCall& PoolQueue::pop() noexcept {
  PoolCall& call = first();
  take(call);
  return call;
}

void PoolQueue::insert(Calls::iterator next, PoolCall& call) noexcept {
  calls_.insert(next, call);
  call.phase_ = PoolCall::Phase::queued;
}

}  // namespace killable::core
