#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <killable/pool_options.hpp>

#include "core/durations.hpp"
#include "core/pool_call.hpp"
#include "core/pool_queue.hpp"
#include "core/pool_worker.hpp"
#include "core/wait_set.hpp"
#include "os/deadline.hpp"
#include "os/unique_fd.hpp"

namespace killable::core {

/// The only scheduler of its workers: a queue of calls, and who has which. Thread-safe.
///
/// A call that finds an idle worker goes there from the thread that submits it, and the
/// thread that waits for the call polls the worker: it *leads* it, takes in the result
/// and gives the worker its next call. So a warm call takes no other thread. The pool's
/// own thread does what is left: it makes workers, polls those that nobody leads while
/// calls are queued, and buries the dead. It sleeps if there is nothing of that.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  Pool(PoolOptions options, std::shared_ptr<const detail::CallRequest> initializer);
  ~Pool();

  /// A PoolCall, or in inline mode one that has run already. Throws QueueFull,
  /// std::logic_error after shutdown().
  std::shared_ptr<Call> submit(detail::CallRequest request);
  void shutdown();
  void kill_all() noexcept;
  PoolStats stats();
  std::size_t capacity() const noexcept;
  bool is_elsewhere() const noexcept;

  // What a PoolCall asks for itself: pool_waiting.cpp.
  bool join(PoolCall& call, const os::Deadline& deadline);
  void end(PoolCall& call, wire::EndMode mode, std::chrono::nanoseconds grace) noexcept;
  bool request_stop(PoolCall& call);
  bool watch(PoolCall& call, WaitSet& wait_set);
  State look_at(PoolCall& call);
  /// Blocks until the call has ended. Empty if it is done, else its report so far.
  std::optional<Report> await_end(PoolCall& call);
  pid_t pid_of(const PoolCall& call);

 private:
  /// A row whose first call takes longer than that is taken apart.
  static constexpr std::chrono::milliseconds kStall{5};

  using Lock = std::unique_lock<std::mutex>;
  using Phase = PoolWorker::Phase;
  using Workers = std::list<std::unique_ptr<PoolWorker>>;

  /// What a worker has committed.
  struct Result {
    PoolOutcome outcome;
    bool is_clean;  ///< The worker can go on.
  };

  class Copying;

  // All of these run under the lock, but for serve(), which takes it. Those that are
  // given the Lock let go of it for a while. What is still there when they have it again:
  //
  // - A worker that the caller leads. Only the pool's thread removes workers, and none
  //   that is led.
  // - The calls of a worker that is_copying: none of them ends.
  // - A call of a handle, if it was not done: the handle's destructor waits for that.
  //   Once it is done, it may be destroyed as soon as the lock is free.
  // - An initializer's call, as long as its worker.
  //
  // Who has the lock may collect() from any worker but one that is led: its leader is
  // about to. Only what cannot wait for that, to end a call or to take some back, takes
  // in results all the same, and the leader finds nothing.

  // From submit() to a worker, and from a result to the next call: pool.cpp.

  /// Gives the call to a worker, or to the queue. Throws as submit() does.
  void enqueue(Lock& lock, PoolCall& call);
  /// Throws QueueFull.
  void require_room() const;
  /// Takes the first call out of the queue: it runs from now on.
  PoolCall& begin_first();
  PoolCall& begin(PoolCall& call);
  /// Whether a worker has it now. Requires: it is the last of the queue.
  bool find_worker_for(Lock& lock, PoolCall& call);
  /// One that has kept quiet; the others are retired. Null: there is none.
  PoolWorker* idle_worker();
  /// The worker has no call: it gets what is queued, or rests.
  void make_idle(PoolWorker& worker);
  /// Takes in the results of a busy worker, and gives it its next calls. False: there is
  /// no result yet.
  bool collect(PoolWorker& worker);
  /// The first of them alone, and gives it nothing.
  bool collect_one(PoolWorker& worker);
  /// Of the call that it runs. Empty: there is none yet, or it broke the protocol.
  std::optional<Result> take_result(PoolWorker& worker);
  /// A call has ended, and its worker has not: retires a worker that cannot go on.
  void finish_call(PoolWorker& worker, bool is_clean);
  /// Gives a busy worker more, or lets it rest.
  void finish_row(PoolWorker& worker);
  /// Ends a worker that has no call, or is about to exit by itself.
  void retire(PoolWorker& worker, wire::EndMode mode);
  /// A worker that breaks the protocol is not heard any more, but ended, and with it the
  /// call that it runs.
  void violate(PoolWorker& worker, const std::string& how);
  /// The call is done.
  void resolve(PoolCall& call, PoolOutcome outcome);
  /// The call has ended just now: for who counts and who waits.
  void note_end(const PoolCall& call) noexcept;

  // What a call asks for itself: pool_waiting.cpp.

  /// Waits for news of the call, as the leader of its worker or behind one, or until the
  /// deadline.
  void await_news(Lock& lock, PoolCall& call, const os::Deadline& deadline);
  /// After a strike: the call is struck as soon as none of the worker's code can run any
  /// more, or it ends as it does otherwise.
  void await_last_instruction(Lock& lock, PoolCall& call);
  /// Polls the worker until something happens, a row stalls, or the deadline. Requires:
  /// nobody else leads it.
  void lead(Lock& lock, PoolWorker& worker, const os::Deadline& deadline);
  /// collect() of a worker that has rung. One that does so again and again without a
  /// result breaks the protocol.
  bool hear(Lock& lock, PoolWorker& worker);
  void end_locked(PoolCall& call, wire::EndMode mode,
                  std::chrono::nanoseconds grace) noexcept;
  /// Ends the worker of a running call, or puts the call back into the queue if the
  /// worker has not started it. A call that is yet to get its worker ends then.
  void end_running(PoolCall& call, wire::EndMode mode,
                   std::chrono::nanoseconds grace) noexcept;

  // How calls go to a worker, and come back unrun: pool_rows.cpp.

  /// One call, with what belongs to it beside its arguments.
  void give(PoolWorker& worker, PoolCall& call);
  /// The first calls of the queue, one at least.
  void give_next(PoolWorker& worker);
  /// Lets the worker start what it was given.
  void publish(PoolWorker& worker);
  /// Whether calls follow each other so fast that it pays to spin for the next end of
  /// one.
  bool is_hurried() const noexcept;
  /// False: it cannot be, and the call has ended; so does the worker, which may have got
  /// some of it.
  bool hand_over_memory(PoolWorker& worker, PoolCall& call);
  /// The call is the worker's. What is to be written into its inbox.
  channel::OutgoingCall assign(PoolWorker& worker, PoolCall& call);
  /// And it is written; the worker does not see it before its inbox is published.
  void add(PoolWorker& worker, PoolCall& call);
  /// All is written: the worker can start the call, and others can see to it.
  void launch(PoolWorker& worker, PoolCall& call);
  /// How many calls a worker is to have: each its share of the queue, if all are tiny.
  std::size_t row_length() const noexcept;
  /// Whether the call can wait behind those that the worker has.
  bool may_follow(const PoolWorker& worker, const PoolCall& call) const noexcept;
  /// A call that has not run goes back to its place in the queue.
  void requeue(PoolCall& call);
  /// calls[index] and those behind. Requires: the worker starts none of them.
  void requeue_from(PoolWorker& worker, std::size_t index);
  /// The same, unless the worker has started calls[index]: false, and all stay.
  bool take_back(PoolWorker& worker, std::size_t index);
  /// Leaves the worker of a running call none but that one, or takes the call from it.
  /// False: the call has ended, or is in the queue again. Requires: it has a worker.
  bool isolate(PoolCall& call);
  /// Whoever else is idle can have what waits behind a call that takes long.
  void reclaim_stalled(PoolWorker& worker);

  // What takes long to copy, without the lock: pool_copies.cpp.

  /// What collect() would take in, if that is so.
  std::optional<channel::Committed> long_result(const PoolWorker& worker) const noexcept;
  bool collect(Lock& lock, PoolWorker& worker);
  void give(Lock& lock, PoolWorker& worker, PoolCall& call);

  // The pool's thread: pool_thread.cpp.

  void serve();
  /// Sees to everything once, and sleeps until there is more.
  void take_turn(Lock& lock);
  bool has_work() const noexcept;
  /// Sees to one worker, as far as nobody else does.
  void tend(Lock& lock, PoolWorker& worker);
  /// Whether it has died, or its session, and of what is to be done then all that can be.
  bool see_to_end(Lock& lock, PoolWorker& worker);
  /// It starts nothing any more: leaves it at most the call that it ran.
  void let_go(Lock& lock, PoolWorker& worker);
  /// No call will come for this worker.
  void dismiss(PoolWorker& worker);
  /// The worker is gone, and nothing of its tree is left. Without `ended`, so is the
  /// session.
  void bury(PoolWorker& worker, const std::optional<wire::Ended>& ended);
  void end_call_of_dead(PoolWorker& worker, const std::optional<wire::Ended>& ended);
  void take_initializer_outcome(PoolWorker& worker);
  void remove_buried();
  /// Finds or makes workers for what is queued, up to the limit.
  void grow(Lock& lock);
  /// Asks for new spares, if it is time.
  void refill(Lock& lock);
  std::size_t places_taken() const noexcept;
  /// Those that run their initializer.
  std::size_t workers_to_come() const;
  void make_worker(Lock& lock);
  /// For this call alone, which runs but has no worker yet.
  void make_own_worker(Lock& lock, PoolCall& call);
  void adopt(Lock& lock, std::unique_ptr<PoolWorker> made);
  PoolWorker& add_worker(std::unique_ptr<PoolWorker> made);
  /// Another attempt comes later; if there are no workers to wait for, a call fails.
  void fail_to_make_worker(const std::system_error& error);
  void fail_queue(const PoolOutcome& outcome);
  /// Ends the calls that have waited for longer than queue_timeout.
  void expire_queue();
  /// Sleeps until there may be something to do, and takes in the news.
  void poll(Lock& lock);
  os::Deadline next_deadline() const;
  /// Whether somebody waits for calls to end who polls none of the workers.
  bool is_awaited() const noexcept;
  /// Whether something waits for the worker's result that does not poll it itself.
  bool needs_watching(const PoolWorker& worker) const noexcept;
  void wake() const noexcept;

  const PoolOptions options_;
  const std::shared_ptr<const detail::CallRequest> initializer_;
  const std::size_t limit_;
  const pid_t owner_;
  const std::shared_ptr<const os::UniqueFd> bell_;  ///< Wakes the thread.

  mutable std::mutex mutex_;  ///< Never held while waiting, or while a worker is made.
  std::condition_variable changed_;
  PoolQueue queue_;
  Workers workers_;
  std::vector<PoolWorker*> idle_;  ///< In the order in which they became so.
  std::size_t running_ = 0;
  bool is_shut_ = false;
  bool thread_ended_ = false;
  int failures_ = 0;                   ///< Workers in a row that never came to a call.
  std::optional<PoolOutcome> broken_;  ///< What every call ends with.
  std::optional<os::Deadline> retry_;  ///< When a worker may be had again.
  std::shared_ptr<Session> drained_;   ///< Of which spares were taken,
  os::Deadline refill_;                ///< and when to ask for new ones.
  std::vector<std::weak_ptr<const os::UniqueFd>> watchers_;  ///< Rung at each end.
  std::uint64_t completed_ = 0;
  std::uint64_t recycled_ = 0;  ///< Buried.
  Durations waits_;
  Durations runs_;
  std::chrono::nanoseconds recent_run_ =
      std::chrono::milliseconds(1);  ///< A sliding mean.
  bool watches_rows_ = false;        ///< The thread wakes by itself to look for a stall.
  std::thread thread_;
};

}  // namespace killable::core
