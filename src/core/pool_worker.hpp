#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <boost/container/static_vector.hpp>

#include <killable/pool_options.hpp>

#include "core/host_worker.hpp"
#include "core/pool_call.hpp"
#include "core/session.hpp"
#include "os/deadline.hpp"

namespace killable::core {

/// One worker of a pool, guarded by the pool's lock.
///
///   idle <--------> busy --timeout taken back--> disarming --> idle
///                     |                              |
///                     +------------------------------+--> dying --> removed
struct PoolWorker {
  enum class Phase {
    idle,
    busy,       ///< Has a call, which has not ended.
    disarming,  ///< Until the fork server answers, a timeout might hit the next call.
    dying,      ///< Gets no call any more; its end will be reported.
  };

  std::shared_ptr<Session> session;
  HostWorker host;
  /// If it has one, the pool's initializer, its first call.
  std::unique_ptr<PoolCall> initializer = {};
  Phase phase = Phase::idle;
  /// That it has: while busy, and while dying until their ends are known. It runs them
  /// one after the other.
  boost::container::static_vector<PoolCall*, wire::kRing> calls = {};
  std::uint64_t given = 0;    ///< Calls, in all, the initializer among them.
  bool is_condemned = false;  ///< To be replaced after its call.
  bool is_armed = false;      ///< Its call has a timeout.
  bool is_doomed = false;     ///< This process has sent it SIGKILL while it lived.
  bool is_dead = false;       ///< Its pidfd has told so.
  bool is_led = false;        ///< A thread that waits for its call polls it.
  bool is_copying = false;    ///< A thread, without the lock, to or from its memory.
  std::shared_ptr<const detail::HeapSink> copied_result = {};  ///< Of call().
  int false_rings = 0;        ///< That came without a result, since the last one.
  bool rings_late = false;    ///< For a result that was seen before the ring.
  os::Deadline trim_at = {};  ///< When to give back what large calls made of memory.
  /// When it was given calls, or one of them ended.
  os::Clock::time_point progressed_at = {};

  bool is_reusable() const noexcept { return host.inbox.has_value(); }
  /// The one that it runs, or is about to; null if there is none.
  PoolCall* call() const noexcept { return calls.empty() ? nullptr : calls.front(); }
  /// Whether it has been given as many calls of users as it may have.
  bool is_spent(const PoolOptions& limits) const noexcept {
    return limits.max_calls_per_worker != 0 &&
           user_calls() >= limits.max_calls_per_worker;
  }
  std::uint64_t user_calls() const noexcept { return given - (initializer ? 1 : 0); }
  bool runs_initializer() const noexcept {
    return initializer && call() == initializer.get();
  }
  /// Whether it has committed a result to the call that it would be given next. One that
  /// was given none at all may have: why it cannot serve.
  bool has_answered_ahead() const noexcept {
    return given != 0 && host.inbox &&
           host.slot->has_commit(host.id, host.inbox->last() + 1);
  }
  /// Of calls[index].
  wire::CallNumber number(std::size_t index = 0) const noexcept {
    return host.inbox ? host.inbox->taken() + 1 + static_cast<wire::CallNumber>(index)
                      : 1;
  }

  /// Makes it start neither calls[index] nor those behind, which are then for the caller
  /// to remove. False: it has started that one, and all stay.
  bool withdraw(std::size_t index) noexcept;
  /// Of the call that it runs.
  void request_stop() noexcept;
  /// SIGKILL, without the fork server.
  void strike() noexcept;
  /// Whether it can run another call, now that one has ended; it may have more already.
  bool may_go_on(const PoolOptions& limits) const;
  /// Its call had arguments or a result of so many bytes, and the result is in. True:
  /// trim_at has changed.
  bool note_memory(std::size_t bytes) noexcept;
  /// Requires: the result of its call is in.
  void trim_if_due() noexcept;
};

}  // namespace killable::core
