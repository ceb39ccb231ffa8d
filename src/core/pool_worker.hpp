#pragma once

#include <cstdint>
#include <memory>
#include <optional>

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
  PoolCall* call = nullptr;   ///< While busy, and while dying if it has not ended yet.
  std::uint64_t calls = 0;    ///< That it was given.
  bool is_condemned = false;  ///< To be replaced after its call.
  bool is_armed = false;      ///< Its call has a timeout.
  bool is_dead = false;       ///< Its pidfd has told so.
  bool is_led = false;        ///< A thread that waits for its call polls it.
  int false_rings = 0;        ///< That came without a result.
  /// When to give back what large calls have made of memory, if there were any.
  std::optional<os::Clock::time_point> trim_at = {};

  bool is_reusable() const noexcept { return host.inbox.has_value(); }
  wire::CallNumber number() const noexcept {
    return host.inbox ? host.inbox->posted() : 1;
  }
};

}  // namespace killable::core
