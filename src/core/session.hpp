#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "core/host_worker.hpp"
#include "core/spare_target.hpp"
#include "os/deadline.hpp"
#include "os/message_queue.hpp"
#include "spawn/launch.hpp"
#include "wire/control.hpp"

namespace killable::core {

/// One guard with its fork server, from launch to loss, as all host threads share it.
///
/// The library has no thread of its own in the host. What the fork server sends is taken
/// from the control socket by whichever thread waits for some of it: one at a time polls
/// the socket, dispatches everything that comes, and wakes the others, which wait on a
/// condition variable and take over when it has what it wanted.
///
/// A session is lost when its control socket ends; by then the guard has seen to it that
/// no process of the session is left. Thread-safe.
class Session {
 public:
  Session(spawn::Launched launched, std::size_t most_spares);

  struct Request {
    channel::OutgoingCall call;
    bool spawn;
    std::optional<std::chrono::nanoseconds> timeout;  ///< From the function's entry.
    std::chrono::nanoseconds grace;                   ///< When it has passed.
  };

  /// Gives a call to a worker: a spare if it is one that a spare can serve, else a new
  /// one. Blocks until the fork server has forked that. Empty: the session is lost.
  /// Throws std::system_error if there are not enough descriptors, processes or memory.
  std::optional<HostWorker> start(const Request& request);

  /// Room for the arguments of a worker that waits for calls. It costs address space
  /// alone.
  static constexpr std::uint64_t kInboxCapacity = std::uint64_t{128} << 20;

  /// A worker that waits for calls, one after the other, with arguments of up to
  /// kInboxCapacity and results of up to so many bytes: a spare if it is one that a spare
  /// can be. Blocks, and fails, as start() does.
  std::optional<HostWorker> make_idle(std::uint64_t max_result_bytes);

  /// Asks for the spares that are missing; does not wait for them. Their forks would take
  /// a processor from a call that was just started, so a start only asks if it took the
  /// last one; else the handle's end does.
  void refill() noexcept;
  void refill_if_empty() noexcept;
  /// Blocks until the spares are there, or the session is lost. Throws
  /// std::system_error if one cannot be made.
  void await_spares();

  void end(wire::WorkerId worker, wire::EndMode mode, std::chrono::nanoseconds grace);

  void arm(wire::WorkerId worker, wire::TimeoutFrom from,
           std::chrono::nanoseconds timeout, std::chrono::nanoseconds grace);
  void disarm(wire::WorkerId worker);
  /// Whether disarm() was answered, so that no timeout can strike any more.
  bool is_disarmed(wire::WorkerId worker);

  /// From now on `bell` rings whenever the fork server has something to say of this
  /// worker, or is lost. Somebody must poll control_fd() and call receive_news().
  void notify_of(wire::WorkerId worker, std::shared_ptr<const os::UniqueFd> bell);
  int control_fd() const noexcept { return control_.socket().get(); }
  void receive_news() noexcept;

  /// Waits until the fork server has reported the worker's end. False: `deadline` came
  /// first. True as well if the session is lost: then ended() stays empty.
  bool await_ended(wire::WorkerId worker, const os::Deadline& deadline);
  /// What was reported, after taking in what has arrived; never blocks.
  std::optional<wire::Ended> ended(wire::WorkerId worker);
  /// Nobody will ask about this worker again.
  void forget(wire::WorkerId worker);

  /// Takes what nobody uses any more. To unmap and to close it takes as long as a thread
  /// lives, and the caller is about to hand out a result: that waits for a refill, for a
  /// start that makes a worker, or for the next that is discarded.
  void discard(HostWorker&& worker) noexcept;

  bool is_lost() const noexcept { return lost_; }
  /// How many workers it has, spares and those that are not forgotten among them.
  std::size_t workers();
  /// Whether all of them are spares.
  bool is_unused();

  /// Sends what the socket did not take before; false if some is left.
  bool flush() noexcept;

  /// Around fork(2): see Runtime. In the child the session belongs to somebody else.
  void lock_for_fork() { mutex_.lock(); }
  void unlock_after_fork() { mutex_.unlock(); }
  void abandon_in_child() noexcept;

 private:
  using Lock = std::unique_lock<std::mutex>;

  /// What the fork server has said about one worker.
  struct Record {
    pid_t pid = 0;
    os::Pidfd pidfd;
    int fork_error = 0;
    bool is_armed = false;
    std::optional<wire::Ended> ended;
    std::shared_ptr<const os::UniqueFd> bell;  ///< Rings when something changes.

    bool is_decided() const noexcept { return pid != 0 || fork_error != 0; }
    void ring() const noexcept;
  };

  /// A worker that was asked for; its record tells what became of that. All that its
  /// HostWorker takes: once the request is sent, nothing may fail any more.
  struct Asked {
    wire::WorkerId id;
    std::shared_ptr<channel::HostSlot> slot;
    std::optional<channel::HostInbox> inbox;
    std::shared_ptr<Watch> watch;
    os::SeqPacket channel;
    os::SeqPacket worker_end;  ///< Until the request is sent.
  };

  static Asked make_asked(std::uint64_t max_result_bytes);
  /// How a worker gets its call.
  struct Delivery {
    int inbox;
    std::uint64_t bytes;  ///< Of the inbox.
    bool spawn = false;
    std::optional<std::chrono::nanoseconds> timeout = {};  ///< Of the call in the inbox.
    std::chrono::nanoseconds grace{};
  };

  std::optional<HostWorker> take_spare(Lock& lock);
  void deliver(const HostWorker& spare, const Request& request);
  Asked ask_to_wait(std::uint64_t max_result_bytes);
  void send_fork(Asked& asked, const Delivery& delivery);
  std::optional<HostWorker> await_worker(Lock& lock, Asked asked);
  void send_arm(wire::WorkerId worker, wire::TimeoutFrom from,
                std::chrono::nanoseconds timeout, std::chrono::nanoseconds grace);
  void notice_deaths(Lock& lock);
  void fill_spares(const Lock& lock);

  template <class Message>
  void send(const Message& message, std::span<const int> fds = {});
  /// Blocks until done(), the deadline or the session's loss; false only for the
  /// deadline.
  template <class Done>
  bool pump_until(Lock& lock, const os::Deadline& deadline, Done done);
  void poll_control(Lock& lock, const os::Deadline& deadline);
  void receive() noexcept;
  void dispatch(std::span<const std::byte> message, os::SeqPacket::Fds& fds);
  void lose() noexcept;

  const os::Pidfd guard_;
  const os::Pidfd fork_server_;
  std::mutex mutex_;
  std::condition_variable pumped_;
  bool pumping_ = false;  ///< A thread polls the control socket, without the lock.
  bool fork_server_death_seen_ = false;
  std::atomic<bool> lost_{false};
  os::MessageQueue control_;
  std::map<wire::WorkerId, Record> records_;
  SpareTarget spare_target_;
  std::deque<Asked> spares_;
  std::optional<HostWorker> discarded_;
};

template <class Message>
void Session::send(const Message& message, std::span<const int> fds) {
  if (!lost_ && !control_.send(wire::bytes_of(message), fds)) lose();
}

template <class Done>
bool Session::pump_until(Lock& lock, const os::Deadline& deadline, Done done) {
  while (!done() && !lost_) {
    if (deadline.passed()) return false;
    if (pumping_)
      os::wait_until(pumped_, lock, deadline);
    else
      poll_control(lock, deadline);
  }
  return true;
}

}  // namespace killable::core
