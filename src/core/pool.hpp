#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <killable/pool_options.hpp>

#include "core/durations.hpp"
#include "core/pool_call.hpp"
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
  PoolOutcome look_at(PoolCall& call);
  pid_t pid_of(const PoolCall& call);

 private:
  /// A row whose first call takes longer than that is taken apart.
  static constexpr std::chrono::milliseconds kStall{5};

  using Lock = std::unique_lock<std::mutex>;
  using Phase = PoolWorker::Phase;
  using Workers = std::list<std::unique_ptr<PoolWorker>>;

  /// Of a worker that has ended a call.
  struct Result {
    PoolOutcome outcome;
    bool is_clean;  ///< The worker can go on.
  };

  // Queue and workers: pool.cpp.
  void enqueue(PoolCall& call);
  void require_room() const;
  PoolCall& dequeue(PoolCall& call);
  bool needs_own_worker(const PoolCall& call) const noexcept;
  bool find_worker_for(PoolCall& call);
  PoolWorker* idle_worker();
  void make_idle(PoolWorker& worker);
  bool collect(PoolWorker& worker);
  bool collect_one(PoolWorker& worker);
  std::optional<Result> take_result(PoolWorker& worker);
  void note_memory(PoolWorker& worker, std::size_t result_bytes);
  static void trim(PoolWorker& worker);
  void finish_call(PoolWorker& worker, bool is_clean);
  void finish_row(PoolWorker& worker);
  bool may_go_on(const PoolWorker& worker) const;
  void retire(PoolWorker& worker, wire::EndMode mode);
  static void stop(PoolWorker& worker);
  void violate(PoolWorker& worker, const std::string& how);
  void resolve(PoolCall& call, PoolOutcome outcome);
  void note_run(std::chrono::nanoseconds run) noexcept;
  void lead(Lock& lock, PoolWorker& worker, const os::Deadline& deadline);
  void end_locked(PoolCall& call, wire::EndMode mode,
                  std::chrono::nanoseconds grace) noexcept;
  void end_running(PoolCall& call, wire::EndMode mode,
                   std::chrono::nanoseconds grace) noexcept;
  void take_initializer_outcome(PoolWorker& worker);

  // How calls go to a worker, and come back unrun: pool_rows.cpp.
  void give(PoolWorker& worker, PoolCall& call);
  void give_next(PoolWorker& worker);
  bool hand_over_memory(PoolWorker& worker, PoolCall& call);
  void add(PoolWorker& worker, PoolCall& call);
  std::size_t row_length() const noexcept;
  bool may_follow(const PoolWorker& worker, const PoolCall& call) const noexcept;
  void requeue(PoolCall& call);
  bool take_back(PoolWorker& worker, std::size_t index);
  void requeue_from(PoolWorker& worker, std::size_t index);
  bool isolate(PoolCall& call);
  void reclaim_stalled(PoolWorker& worker);

  // The pool's thread: pool_thread.cpp.
  void serve();
  void take_turn(Lock& lock);
  bool has_work() const noexcept;
  void tend(PoolWorker& worker);
  void dismiss(PoolWorker& worker);
  void bury(PoolWorker& worker, const std::optional<wire::Ended>& ended);
  void end_call_of_dead(PoolWorker& worker, const std::optional<wire::Ended>& ended);
  void remove_buried();
  void grow(Lock& lock);
  void refill(Lock& lock);
  std::size_t workers_to_come() const;
  void make_worker(Lock& lock);
  void make_own_worker(Lock& lock, PoolCall& call);
  void adopt(std::unique_ptr<PoolWorker> worker);
  void fail_to_make_worker(const std::system_error& error);
  void fail_queue(const PoolOutcome& outcome);
  void expire_queue();
  std::exception_ptr waited_too_long(const PoolCall& call) const;
  void poll(Lock& lock);
  os::Deadline next_deadline() const;
  bool needs_watching(const PoolWorker& worker) const noexcept;
  void wake() const noexcept;

  const PoolOptions options_;
  const std::shared_ptr<const detail::CallRequest> initializer_;
  const std::size_t limit_;
  const pid_t owner_;
  const std::shared_ptr<const os::UniqueFd> bell_;  ///< Wakes the thread.

  mutable std::mutex mutex_;  ///< Never held while waiting, or while a worker is made.
  std::condition_variable changed_;
  std::list<PoolCall*> queue_;
  Workers workers_;
  std::deque<PoolWorker*> idle_;
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
  std::uint64_t recycled_ = 0;
  Durations waits_;
  Durations runs_;
  std::chrono::nanoseconds recent_run_ =
      std::chrono::milliseconds(1);  ///< A sliding mean.
  bool watches_rows_ = false;        ///< The thread wakes by itself to look for a stall.
  std::thread thread_;
};

}  // namespace killable::core
