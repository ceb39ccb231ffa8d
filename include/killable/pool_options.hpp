#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <killable/detail/trampoline.hpp>
#include <killable/options.hpp>

namespace killable {

namespace detail {
class PoolHandle;
}

/// A call that each worker of a pool makes before all others, such as to load a table.
class Initializer {
 public:
  /// Encodes the arguments, as KillableThread does; what the function returns is dropped.
  /// Throws CodecError.
  template <class F, class... Args>
  explicit Initializer(F function, Args&&... arguments)
      : request_(std::make_shared<const detail::CallRequest>(
            detail::pack(Options{.name = "initializer"}, std::move(function),
                         std::forward<Args>(arguments)...))) {}

 private:
  friend class detail::PoolHandle;

  std::shared_ptr<const detail::CallRequest> request_;  ///< Copies share it.
};

/// How a pool runs its calls. Set what differs by name: `{.workers = 4}`.
struct PoolOptions {
  /// How many workers there are at most. Each is forked when a call would have to wait
  /// without it. Zero: std::thread::hardware_concurrency().
  std::size_t workers = 0;

  /// How many calls may wait for a worker; with one more submit() throws QueueFull. Zero:
  /// no bound.
  std::size_t max_queued = 0;

  /// After so many calls a worker is replaced. Zero: never.
  std::uint64_t max_calls_per_worker = 0;

  /// A worker whose resident memory is larger after a call, in bytes, is replaced. Zero:
  /// never.
  std::uint64_t max_worker_memory_bytes = 0;

  /// A call that has waited for a worker so long, from submit(), ends as timed_out. Must
  /// be positive. Empty: no limit.
  std::optional<std::chrono::nanoseconds> queue_timeout = {};

  /// Made once in each worker, before its calls and not counted among them. What it
  /// leaves in the worker's memory and environment, all of its calls find. If it throws,
  /// crashes or exits in three workers in a row, no more are forked, and every call ends
  /// as it did.
  std::optional<Initializer> initializer = {};

  /// What submit() without Options takes. A call whose start_method is spawn, or whose
  /// results or arguments are larger than the pool's workers take (max_result_bytes here;
  /// 128 MiB), has a fresh worker instead of one that is used again; the initializer does
  /// not run in that.
  Options call = {};
};

/// What a pool is doing and has done. Waits are from submit() until a worker has the
/// call, runs from its start to its end; the quantiles are of the last 1,024 calls.
struct PoolStats {
  std::size_t queued = 0;       ///< Calls that wait for a worker.
  std::size_t running = 0;      ///< Calls that a worker has.
  std::size_t workers = 0;      ///< Workers that live.
  std::uint64_t completed = 0;  ///< Calls that have ended, however.
  std::uint64_t recycled = 0;   ///< Workers that were replaced, for whatever reason.
  std::chrono::nanoseconds wait_p50{0}, wait_p99{0};
  std::chrono::nanoseconds run_p50{0}, run_p99{0};
};

}  // namespace killable
