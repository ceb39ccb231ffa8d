#pragma once

#include <sys/types.h>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <killable/codec.hpp>
#include <killable/detail/call_handle.hpp>
#include <killable/detail/forked.hpp>
#include <killable/detail/trampoline.hpp>
#include <killable/errors.hpp>
#include <killable/options.hpp>
#include <killable/report.hpp>

namespace killable {

template <class R>
class KillableThread;

namespace detail {

template <class T>
inline constexpr bool is_handle_v = false;
template <class R>
inline constexpr bool is_handle_v<KillableThread<R>> = true;

/// What comes first in a call without options. Not another handle, so that
/// `KillableThread moved(std::move(thread))` is a move.
template <class F>
concept Callee = !std::is_same_v<std::remove_cvref_t<F>, Options> &&
                 !is_handle_v<std::remove_cvref_t<F>>;

}  // namespace detail

/// A thread's face, a process's body: runs one function in a worker process of its own,
/// so that it can be killed at any moment without harm to this one.
///
///     killable::KillableThread t(fib, 40);
///     t.start();
///     if (!t.join(2s)) t.kill();
///     int r = t.getResult();              // the value, or what the function threw
///
/// The function may be any function pointer, lambda without captures or function object
/// without state of this program or of its shared objects; nothing is registered.
/// Arguments and result cross by value; codec.hpp says what can.
///
/// A handle is move-only, also while its call runs. Its functions are thread-safe, but
/// for moving from it, assignment and destruction. A moved-from handle may only be
/// destroyed or assigned to.
///
/// In a child that the host made by fork(2), a copy of a handle has State::lost and no
/// hold on the call; the parent's is not disturbed.
template <class R>
class KillableThread {
 public:
  using Result = R;

  /// Converts the arguments to the function's own parameter types and encodes them;
  /// starts nothing. Throws CodecError, std::invalid_argument for options out of range,
  /// and StartError if no other process could find the function.
  template <detail::Callee F, class... Args>
  explicit KillableThread(F function, Args&&... arguments)
      : KillableThread(Options(), std::move(function), std::forward<Args>(arguments)...) {
  }

  /// The same with options.
  template <class F, class... Args>
  KillableThread(Options options, F function, Args&&... arguments)
      : call_(detail::pack(std::move(options), std::move(function),
                           std::forward<Args>(arguments)...)) {}

  KillableThread(KillableThread&&) noexcept = default;
  KillableThread& operator=(KillableThread&&) noexcept = default;

  /// Kills and joins what still runs, as kill() and join() do. Blocks for the grace
  /// period at most, and the worker's death.
  ~KillableThread() = default;

  /// Gives the call to a worker. Blocks until a worker exists, not until it runs; the
  /// first call of a program also starts the fork server. With KILLABLE_INLINE=1 in the
  /// environment it is run() instead.
  /// Throws StartError, after which it may be tried again; std::logic_error if started;
  /// in a worker CodecError for a SharedArray that it cannot pass on.
  void start() { call_.start(); }

  /// Runs the function here and now, in this process and thread: for a debugger. Options
  /// that need a worker, such as the timeout, do nothing.
  /// Throws std::logic_error if started; what the function throws is for getResult().
  void run() { call_.run(); }

  /// Blocks until the call has ended: its result is in, or its worker is gone with all
  /// its descendants. Throws std::logic_error if not started.
  void join() { call_.join(); }

  /// The same for `timeout` at most; zero or less only looks. False: still running.
  bool join(std::chrono::nanoseconds timeout) { return call_.join(timeout); }

  /// Whether the call is running.
  bool is_alive() const noexcept { return state() == State::running; }

  /// The worker's process id. Another process may have it once the call has ended. Zero
  /// while a pool has queued the call, and in a child of fork(2).
  /// Throws std::logic_error if not started.
  pid_t get_id() const { return call_.get_id(); }

  /// Options::name, or what stands in for an empty one.
  const std::string& name() const noexcept { return call_.name(); }

  /// Requests stop on the call's stop token, which the function takes as its first
  /// parameter or asks this_worker for; a function that does neither does not notice.
  /// Returns whether this was the first request to a running call. Blocks: no.
  bool request_stop() { return call_.request_stop(); }

  /// Sends SIGTERM, and SIGCONT in case the worker is stopped. A function that knows its
  /// stop token sees a stop request; any other is unwound at its next cancellation point
  /// (pthreads(7)), with its destructors. One that reaches none runs on. Blocks: no.
  void raise_exception() noexcept { call_.raise_exception(); }

  /// kill(Options::grace_period).
  void kill() noexcept { call_.kill(); }

  /// Ends the call: raise_exception(), then SIGKILL to the worker and all its descendants
  /// once `grace_period` has passed (zero: at once). A result that is in before that is
  /// kept. Does nothing to a call that has ended or was not started; a second one can
  /// only shorten the grace period. Blocks: no; join() waits. See pidfd_send_signal(2).
  void kill(std::chrono::milliseconds grace_period) noexcept { call_.kill(grace_period); }

  /// Waits for the end, as join() does, and returns the value, decoded anew by each call.
  /// Throws what the function threw, by type (see RegisterException), or how the call
  /// ended: Killed, TimedOut, WorkerCrashed, WorkerExited, WorkerLost; LimitExceeded for
  /// a result beyond Options::max_result_bytes; CodecError or ProtocolViolation for a
  /// worker that wrote nonsense; StartError if the worker could not find the function;
  /// std::logic_error if not started.
  /// After kill(0ms) it need not wait for as long as join(), but until none of the
  /// worker's code can run. What Killed::report() lacks then, report() waits for.
  R getResult() const {
    detail::Source source = call_.result();
    if constexpr (!std::is_void_v<R>) return detail::decode_whole<R>(source);
  }

  /// Blocks: no. Thread-safe.
  State state() const noexcept { return call_.state(); }

  /// How the call ended. While it runs, only state and pid are set. After that it blocks
  /// until the worker is reaped; one that lingers after its result gets the grace period.
  Report report() const { return call_.report(); }

 private:
  friend class ProcessPool;
  template <class Range>
  friend std::optional<std::size_t> wait_any(
      const Range& calls, std::optional<std::chrono::nanoseconds> timeout);

  /// Of a call that a pool has started.
  explicit KillableThread(detail::CallHandle call) noexcept : call_(std::move(call)) {}

  detail::CallHandle call_;
};

template <detail::Callee F, class... Args>
KillableThread(F, Args&&...)
    -> KillableThread<typename detail::CallTraits<F, Args...>::Result>;
template <class F, class... Args>
KillableThread(Options, F, Args&&...)
    -> KillableThread<typename detail::CallTraits<F, Args...>::Result>;

/// Runs `function` in a worker and returns its result: construct, start, getResult.
/// Throws what those throw.
template <detail::Callee F, class... Args>
auto call(F function, Args&&... arguments) {
  KillableThread thread(std::move(function), std::forward<Args>(arguments)...);
  thread.start();
  return thread.getResult();
}

/// The same with options.
template <class F, class... Args>
auto call(Options options, F function, Args&&... arguments) {
  KillableThread thread(std::move(options), std::move(function),
                        std::forward<Args>(arguments)...);
  thread.start();
  return thread.getResult();
}

/// Makes a callable with captures fit for a KillableThread. Its worker is a fork of this
/// process as it is at start(), so it has the captures, and everything else, by
/// copy-on-write; the result comes back like any other.
///
/// Use it in programs with one thread. Locks that other threads hold at that moment, in
/// malloc(3) too, stay locked in the worker for ever. It also costs a fork(2) of the
/// whole program several times over (40 ms for each GB), and the worker knows every
/// secret of it. start() flushes std::cout and all of stdio, since each copy of this
/// process would write what is in their buffers again.
template <class F>
Forked<F> forked(F callable) {
  return Forked<F>(std::move(callable));
}

/// Waits until one of `calls`, a range of KillableThread, has ended, and returns the
/// index of the first such; empty if `timeout` passed first or the range is empty. Throws
/// std::logic_error if one is not started. Meanwhile none may be moved, assigned to or
/// destroyed.
template <class Range>
std::optional<std::size_t> wait_any(
    const Range& calls, std::optional<std::chrono::nanoseconds> timeout = {}) {
  std::vector<const detail::CallHandle*> handles;
  for (const auto& call : calls) handles.push_back(&call.call_);
  return detail::wait_any_of(handles, timeout);
}

}  // namespace killable
