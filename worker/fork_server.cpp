#include "worker/fork_server.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "os/deadline.hpp"
#include "os/errno_error.hpp"
#include "os/fault.hpp"
#include "os/message_queue.hpp"
#include "os/pidfd.hpp"
#include "wire/control.hpp"
#include "worker/death_watch.hpp"
#include "worker/fd_limit.hpp"
#include "worker/ladder.hpp"
#include "worker/sigchld_fd.hpp"
#include "worker/title.hpp"
#include "worker/tree.hpp"
#include "worker/worker_process.hpp"

namespace killable::worker {

namespace {

using os::Fault;
using namespace std::chrono_literals;

/// Until the next look at what cannot be ended: it may be reaped by then.
constexpr auto kLingerPause = 100ms;

std::uint64_t nanoseconds_of(const timeval& time) noexcept {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_usec) * 1'000;
}

class ForkServer {
 public:
  ForkServer(os::SeqPacket control, pid_t guard, const FdLimit& fd_limit);

  /// Serves until the host or the guard is gone.
  void run();

 private:
  struct Worker {
    Ladder ladder;
    Death death;
    std::uint64_t ended_at_ns = 0;
  };
  using Workers = std::map<wire::WorkerId, Worker>;

  bool receive();
  void handle(std::span<const std::byte> message, os::SeqPacket::Fds& fds);
  void handle_fork(const wire::Fork& request, os::SeqPacket::Fds& fds);
  void in_parent(const wire::Fork& request, pid_t child, os::UniqueFd entry);
  void fail_fork(const wire::Fork& request, int error);

  template <class Step>
  void with_ladder(wire::WorkerId worker, Step step);
  void schedule(wire::WorkerId worker, const Ladder& ladder);
  void run_timers();
  os::Deadline next_timer() const;

  void reap();
  bool reap(wire::WorkerId worker);
  void note_entries();
  void bury();
  void report(wire::WorkerId id, Worker& worker);

  os::MessageQueue control_;
  os::Pidfd guard_;
  os::UniqueFd sigchld_;
  DeathWatch deaths_;
  const FdLimit fd_limit_;
  Workers workers_;
  std::set<pid_t> pids_;                 ///< Of the workers that are not reaped yet.
  std::deque<wire::WorkerId> starting_;  ///< Not known to have entered their function.
  std::vector<wire::WorkerId> ended_;    ///< But not reaped: they are traced.
  std::vector<wire::WorkerId> dead_;     ///< Reaped, but what they left may still live.
  /// When each ladder is due. An entry that its ladder no longer means is stale.
  std::set<std::pair<os::Clock::time_point, wire::WorkerId>> timers_;
  Strangers strangers_;                              ///< What dead workers left behind,
  Strangers::Left left_ = Strangers::Left::nothing;  ///< and how much of it there may be.
};

ForkServer::ForkServer(os::SeqPacket control, pid_t guard, const FdLimit& fd_limit)
    : control_(std::move(control)),
      guard_(os::Pidfd::open(guard)),
      sigchld_(make_sigchld_fd()),
      fd_limit_(fd_limit) {
  // Opened before it is checked: had the guard ended already, the pid could be another's.
  if (!guard_ || ::getppid() != guard) os::throw_errno(ESRCH, "watch the guard");
  const os::Pidfd self = os::Pidfd::open(::getpid());
  if (!self) os::throw_errno(errno, "open a pidfd of the fork server");
  os::fault_point(Fault::fork_server_before_hello);
  control_.send(wire::bytes_of(wire::Hello{}), std::array{self.get()});
}

void ForkServer::run() {
  for (;;) {
    const short control_events =
        static_cast<short>(POLLIN | (control_.has_queued() ? POLLOUT : 0));
    std::array<pollfd, 4> fds{
        pollfd{.fd = control_.socket().get(), .events = control_events, .revents = 0},
        pollfd{.fd = guard_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = sigchld_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = deaths_.get(), .events = POLLIN, .revents = 0}};
    os::poll_until(fds, next_timer());
    if (fds[1].revents != 0) return;
    if (fds[2].revents != 0 || fds[3].revents != 0) reap();
    if (fds[0].revents != 0 && (!control_.flush() || !receive())) return;
    run_timers();
    bury();
  }
}

/// Handles some of the messages that are there. False: the host is gone.
bool ForkServer::receive() {
  // Not all: a host that starts calls all the time would keep this process from timers
  // and deaths.
  constexpr int kAtOnce = 8;
  for (int i = 0; i < kAtOnce; ++i) {
    std::array<std::byte, wire::kMaxControlBytes> buffer;
    os::SeqPacket::Received received = control_.socket().receive(buffer);
    using Status = os::SeqPacket::Received::Status;
    if (received.status == Status::would_block) return true;
    if (received.status == Status::closed) return false;
    handle(std::span(buffer).first(received.size), received.fds);
  }
  return true;
}

void ForkServer::handle(std::span<const std::byte> message, os::SeqPacket::Fds& fds) {
  using std::chrono::nanoseconds;
  if (const auto fork = wire::parse<wire::Fork>(message)) {
    handle_fork(*fork, fds);
  } else if (const auto arm = wire::parse<wire::Arm>(message)) {
    with_ladder(arm->worker, [&](Ladder& ladder) {
      ladder.arm(arm->from, nanoseconds(arm->timeout_ns), nanoseconds(arm->grace_ns));
    });
  } else if (const auto disarm = wire::parse<wire::Disarm>(message)) {
    with_ladder(disarm->worker, [&](Ladder& ladder) {
      if (ladder.disarm())
        control_.send(wire::bytes_of(wire::Disarmed{.worker = disarm->worker}));
    });
  } else if (const auto end = wire::parse<wire::End>(message)) {
    os::fault_point(Fault::fork_server_before_end);
    with_ladder(end->worker, [&](Ladder& ladder) {
      switch (end->mode) {
        case wire::EndMode::terminate: ladder.terminate(); break;
        case wire::EndMode::kill: ladder.kill(nanoseconds(end->grace_ns)); break;
        case wire::EndMode::release: ladder.release(nanoseconds(end->grace_ns)); break;
      }
    });
  }
}

void ForkServer::handle_fork(const wire::Fork& request, os::SeqPacket::Fds& fds) {
  // The host has sent these; this process had no room for them.
  if (fds.size() != 4) return fail_fork(request, EMFILE);
  os::UniqueFd entry(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!entry) return fail_fork(request, errno);
  if (!FdLimit::leaves_room()) return fail_fork(request, EMFILE);
  note_entries();
  os::fault_point(Fault::fork_server_before_fork);
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child == -1) return fail_fork(request, errno);
  if (child == 0) {
    become_worker({.id = request.worker,
                   .slot_bytes = request.slot_bytes,
                   .inbox_bytes = request.inbox_bytes,
                   .slot = fds[0].get(),
                   .inbox = fds[1].get(),
                   .bell = fds[2].get(),
                   .channel = fds[3].get(),
                   .entry = entry.get(),
                   .fork_server = self,
                   .open_files = fd_limit_.of_host(),
                   .spawn = request.spawn != 0});
  }
  in_parent(request, child, std::move(entry));
}

void ForkServer::in_parent(const wire::Fork& request, pid_t child, os::UniqueFd entry) {
  os::Pidfd pidfd = os::Pidfd::open(child);
  if (!pidfd || !deaths_.add(pidfd, request.worker)) {
    const int error = errno;
    // Not known as a worker, so it is a stranger: bury() sees to it.
    ::kill(child, SIGKILL);
    left_ = Strangers::Left::living;
    return fail_fork(request, error);
  }
  os::fault_point(Fault::fork_server_after_fork);
  const wire::Forked forked{.pid = child, .worker = request.worker};
  control_.send(wire::bytes_of(forked), std::array{pidfd.get()});
  pids_.insert(child);
  starting_.push_back(request.worker);
  workers_.emplace(
      request.worker,
      Worker{.ladder = Ladder(child, std::move(pidfd), std::move(entry)), .death = {}});
  // Not by a message of its own: a host that is stopped between the two would have the
  // call run without its timeout.
  if (request.timeout_ns != wire::kNoTimeout)
    with_ladder(request.worker, [&](Ladder& ladder) {
      ladder.arm(wire::TimeoutFrom::entry, std::chrono::nanoseconds(request.timeout_ns),
                 std::chrono::nanoseconds(request.grace_ns));
    });
}

void ForkServer::fail_fork(const wire::Fork& request, int error) {
  const wire::ForkFailed failed{.error = error, .worker = request.worker};
  control_.send(wire::bytes_of(failed));
}

template <class Step>
void ForkServer::with_ladder(wire::WorkerId worker, Step step) {
  const auto found = workers_.find(worker);
  if (found == workers_.end()) return;  // Ended, and its report is on its way.
  step(found->second.ladder);
  schedule(worker, found->second.ladder);
}

void ForkServer::schedule(wire::WorkerId worker, const Ladder& ladder) {
  if (!ladder.timer().is_never()) timers_.emplace(ladder.timer().instant(), worker);
}

void ForkServer::run_timers() {
  const os::Clock::time_point now = os::Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto [due, worker] = *timers_.begin();
    timers_.erase(timers_.begin());
    const auto found = workers_.find(worker);
    if (found == workers_.end()) continue;
    const os::Deadline& timer = found->second.ladder.timer();
    if (timer.is_never() || timer.instant() != due) continue;
    with_ladder(worker, [](Ladder& ladder) { ladder.step(); });
  }
}

os::Deadline ForkServer::next_timer() const {
  os::Deadline next = os::Deadline::never();
  if (left_ == Strangers::Left::living) next = os::Deadline::in(kRoundPause);
  if (left_ == Strangers::Left::lingering) next = os::Deadline::in(kLingerPause);
  if (timers_.empty()) return next;
  return std::min(next, os::Deadline::at(timers_.begin()->first));
}

/// Each fork copies the descriptors of this process, so none is kept that is not needed:
/// lets go of the eventfds of workers that have entered their function. Two for each fork
/// are as many as come, and leave those that wait for a call to a later one.
void ForkServer::note_entries() {
  for (int i = 0; i < 2 && !starting_.empty(); ++i) {
    const wire::WorkerId id = starting_.front();
    starting_.pop_front();
    const auto worker = workers_.find(id);
    if (worker != workers_.end() && worker->second.ladder.entered_at_ns() == 0)
      starting_.push_back(id);
  }
}

/// Reaps every worker that has ended. What it left behind is by now a child of this
/// process: the kernel moves orphans before it tells of the death.
void ForkServer::reap() {
  drain_sigchld_fd(sigchld_.get());
  while (const auto id = deaths_.next()) ended_.push_back(*id);
  // Somebody else's death, or that of one who traced a worker: a stranger's.
  const auto count = std::erase_if(ended_, [this](auto id) { return reap(id); });
  if (count == 0 || !ended_.empty()) left_ = Strangers::Left::living;
}

bool ForkServer::reap(wire::WorkerId id) {
  Worker& worker = workers_.at(id);
  const std::optional<Death> death = reap_child(worker.ladder.pid());
  if (!death) return false;
  worker.death = *death;
  worker.ended_at_ns = os::monotonic_ns();
  worker.ladder.died();
  dead_.push_back(id);
  pids_.erase(worker.ladder.pid());
  return true;
}

/// Ends what dead workers left behind, and reports them once nothing of it can run.
void ForkServer::bury() {
  if (dead_.empty() && left_ == Strangers::Left::nothing) return;
  left_ = strangers_.kill([this](pid_t child) { return pids_.contains(child); });
  if (left_ == Strangers::Left::living) return;
  for (const wire::WorkerId id : dead_) {
    const auto worker = workers_.find(id);
    report(id, worker->second);
    deaths_.remove(worker->second.ladder.pidfd());
    workers_.erase(worker);
  }
  dead_.clear();
}

void ForkServer::report(wire::WorkerId id, Worker& worker) {
  os::fault_point(Fault::fork_server_before_ended);
  const rusage& usage = worker.death.usage;
  const wire::Ended ended{
      .by = worker.ladder.by(),
      .worker = id,
      .code = worker.death.code,
      .status = worker.death.status,
      .entered_at_ns = worker.ladder.entered_at_ns(),
      .ended_at_ns = worker.ended_at_ns,
      .user_cpu_ns = nanoseconds_of(usage.ru_utime),
      .system_cpu_ns = nanoseconds_of(usage.ru_stime),
      .max_rss_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
  control_.send(wire::bytes_of(ended));
}

}  // namespace

void run_fork_server(os::SeqPacket control, pid_t guard, const FdLimit& fd_limit) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  set_title("killable-server", "fork server");
  try {
    ForkServer(std::move(control), guard, fd_limit).run();
  } catch (const std::exception&) {
    // Out of descriptors or memory at the worst place: end like a fork server that was
    // killed. The host sees its calls lost and starts another.
  }
  kill_all_descendants();
  ::_exit(0);
}

}  // namespace killable::worker
