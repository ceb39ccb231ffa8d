#pragma once

#include <cstddef>
#include <deque>
#include <ranges>
#include <utility>

#include <killable/detail/pool_handle.hpp>
#include <killable/detail/results.hpp>
#include <killable/detail/trampoline.hpp>
#include <killable/killable_thread.hpp>
#include <killable/options.hpp>
#include <killable/pool_options.hpp>

namespace killable {

/// Runs calls in workers that are used again, so that a call costs little more than two
/// wakes; tiny ones that follow each other on another processor take none. The handles
/// are KillableThreads: a kill ends one call and its worker, which is replaced, and no
/// other call.
///
///     killable::ProcessPool pool({.workers = 4});
///     auto h = pool.submit(fib, 30);
///     int r = h.getResult();
///     auto v = pool.map(fib, std::vector{1, 2, 3});
///
/// A worker keeps what functions leave in its memory, and resource limits and descriptors
/// that they change. Environment, working directory, umask, user and privileges, signal
/// mask, handlers and their stack, an alarm, threads and children do not reach the next
/// call: a worker that differs in one of these after a call is replaced. To know when to
/// look, a worker handles SIGSYS, which the first system call of a function raises once:
/// see docs/processes.md. Standard input is /dev/null as in every worker. The memory of
/// large arguments and results is kept for the next ones, until a worker has been idle
/// for half a second; if its arguments took more than 1 MiB, the worker is replaced.
///
/// Has one thread of its own in the host, from the first call on. Thread-safe, but for
/// destruction. In a child of fork(2) it can only be destroyed.
class ProcessPool {
 public:
  /// Forks nothing yet. Throws std::invalid_argument for options out of range.
  explicit ProcessPool(PoolOptions options = {});

  /// shutdown().
  ~ProcessPool();
  ProcessPool(const ProcessPool&) = delete;
  ProcessPool& operator=(const ProcessPool&) = delete;

  /// Gives the call to an idle worker, or queues it. The handle is one of a started call;
  /// one that is dropped kills its call, queued or running. Its timeout counts from the
  /// start of the call. What it throws later, it throws from getResult(), StartError
  /// included.
  /// Blocks: no; with KILLABLE_INLINE=1 in the environment it runs the call first, here.
  /// Throws QueueFull, std::logic_error after shutdown(), CodecError,
  /// std::invalid_argument for options out of range or a forked() callable.
  template <detail::Callee F, class... Args>
  auto submit(F function, Args&&... arguments) {
    return submit(options_, std::move(function), std::forward<Args>(arguments)...);
  }

  /// The same with options of its own instead of PoolOptions::call.
  template <class F, class... Args>
  auto submit(Options options, F function, Args&&... arguments) {
    using Result = typename detail::CallTraits<F, Args...>::Result;
    return KillableThread<Result>(handle_.submit(detail::pack(
        std::move(options), std::move(function), std::forward<Args>(arguments)...)));
  }

  /// Calls `function` with each element of `inputs` and returns the results in that
  /// order. Never more calls wait at a time than max_queued. Blocks until all have ended.
  /// Throws what the first failing one in that order throws; the rest is killed.
  template <class F, std::ranges::input_range Range>
  auto map(F function, Range&& inputs) {
    using Thread = decltype(submit(function, *std::ranges::begin(inputs)));
    detail::Results<typename Thread::Result> results;
    std::deque<Thread> pending;
    try {
      for (auto&& input : inputs) {
        if (pending.size() >= handle_.capacity()) results.take(pending);
        pending.push_back(submit(function, std::forward<decltype(input)>(input)));
      }
      while (!pending.empty()) results.take(pending);
    } catch (...) {
      // From the last one on, so that none gets the worker of one that was killed.
      for (Thread& call : std::views::reverse(pending)) call.kill();
      throw;
    }
    return std::move(results).get();
  }

  /// Takes no more calls, and ends the workers once all calls have ended. Blocks until
  /// then. A second time it does nothing.
  void shutdown();

  /// Kills every call, queued or running, as KillableThread::kill() does. The pool can go
  /// on. Blocks: no.
  void kill_all() noexcept;

  /// What the pool is doing now. Blocks: no longer than a submit() of another thread.
  PoolStats stats() const;

 private:
  Options options_;  ///< Of calls.
  detail::PoolHandle handle_;
};

}  // namespace killable
