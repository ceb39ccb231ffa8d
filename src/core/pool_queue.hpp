#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

#include <boost/intrusive/list.hpp>

#include "core/pool_call.hpp"
#include "os/deadline.hpp"

namespace killable::core {

/// The calls that wait for a worker of a pool, in the order of their submission. Each has
/// a place for it in itself, so that it can leave from anywhere, and come back without
/// memory to be had. A call that is in is `queued`;
/// who takes it out says what it is then. Guarded by the pool's lock.
class PoolQueue {
 public:
  /// No call is to wait for longer than `timeout`, if there is one.
  explicit PoolQueue(std::optional<std::chrono::nanoseconds> timeout) noexcept
      : timeout_(timeout) {}

  bool empty() const noexcept { return calls_.empty(); }
  std::size_t size() const noexcept { return calls_.size(); }

  /// The one that has waited longest. Requires: not empty().
  PoolCall& first() noexcept { return calls_.front(); }
  const PoolCall& first() const noexcept { return calls_.front(); }
  /// When that one will have waited for too long.
  os::Deadline first_deadline() const noexcept;

  /// A new call, behind all others.
  void push(PoolCall& call) noexcept;
  /// One that was in before: where it was, before those that were submitted later.
  void put_back(PoolCall& call) noexcept;

  /// Takes out this one. Requires: it is in.
  void take(PoolCall& call) noexcept { calls_.erase(calls_.iterator_to(call)); }
  /// Takes out first().
  PoolCall& pop() noexcept;

 private:
  using Place =
      boost::intrusive::member_hook<PoolCall, boost::intrusive::list_member_hook<>,
                                    &PoolCall::place_>;
  using Calls = boost::intrusive::list<PoolCall, Place>;

  void insert(Calls::iterator next, PoolCall& call) noexcept;

  const std::optional<std::chrono::nanoseconds> timeout_;
  Calls calls_;
};

}  // namespace killable::core
