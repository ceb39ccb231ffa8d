#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>

#include "core/pool_call.hpp"
#include "os/deadline.hpp"

namespace killable::core {

/// The calls that wait for a worker of a pool, in the order of their submission. Each
/// knows its place, so that it can leave from anywhere. A call that is in is `queued`;
/// who takes it out says what it is then. Guarded by the pool's lock.
class PoolQueue {
 public:
  /// No call is to wait for longer than `timeout`, if there is one.
  explicit PoolQueue(std::optional<std::chrono::nanoseconds> timeout) noexcept
      : timeout_(timeout) {}

  bool empty() const noexcept { return calls_.empty(); }
  std::size_t size() const noexcept { return calls_.size(); }

  /// The one that has waited longest. Requires: not empty().
  PoolCall& first() const noexcept { return *calls_.front(); }
  /// When that one will have waited for too long.
  os::Deadline first_deadline() const noexcept;

  /// A new call, behind all others.
  void push(PoolCall& call);
  /// One that was in before: where it was, before those that were submitted later.
  void put_back(PoolCall& call);

  /// Takes out this one. Requires: it is in.
  void take(PoolCall& call) noexcept { calls_.erase(call.place_); }
  /// Takes out first().
  PoolCall& pop() noexcept;

 private:
  void insert(std::list<PoolCall*>::iterator next, PoolCall& call);

  const std::optional<std::chrono::nanoseconds> timeout_;
  std::list<PoolCall*> calls_;
};

}  // namespace killable::core
