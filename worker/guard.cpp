#include "worker/guard.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <utility>

#include "channel/become_guard.hpp"
#include "os/deadline.hpp"
#include "os/errno_error.hpp"
#include "os/fault.hpp"
#include "os/pidfd.hpp"
#include "os/seqpacket.hpp"
#include "os/signals.hpp"
#include "wire/control.hpp"
#include "wire/exec_format.hpp"
#include "worker/fd_limit.hpp"
#include "worker/fork_server.hpp"
#include "worker/sigchld_fd.hpp"
#include "worker/title.hpp"
#include "worker/tree.hpp"
#include "worker/warm_up.hpp"

namespace killable::worker {

namespace {

/// Workers read nothing from the host's terminal or pipe, and descriptors 0, 1 and 2
/// exist in every one, so that nothing else can come to have these numbers.
void provide_standard_descriptors() noexcept {
  ::close(STDIN_FILENO);
  // Each open takes the lowest free number.
  int opened = ::open("/dev/null", O_RDWR);
  while (opened >= 0 && opened <= STDERR_FILENO) opened = ::open("/dev/null", O_RDWR);
  if (opened >= 0) ::close(opened);
}

/// A stopped fork server would enforce no timeout and reap nobody. Only its parent is
/// told.
void resume_if_stopped(pid_t fork_server) {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(fork_server), &info, WSTOPPED | WNOHANG) ==
             0 &&
         info.si_pid != 0) {
    ::kill(fork_server, SIGCONT);
    info.si_pid = 0;
  }
}

/// Returns when the host or the fork server is gone.
void watch(const os::SeqPacket& control, pid_t fork_server, const os::Pidfd& pidfd) {
  const os::UniqueFd sigchld = make_sigchld_fd();
  std::array<pollfd, 3> fds{
      // No events asked for: only the host's hang-up counts, the messages are not ours.
      pollfd{.fd = control.get(), .events = 0, .revents = 0},
      pollfd{.fd = pidfd.get(), .events = POLLIN, .revents = 0},
      pollfd{.fd = sigchld.get(), .events = POLLIN, .revents = 0}};
  // Once before the first wait: it may have been stopped before the signalfd was there.
  for (resume_if_stopped(fork_server); fds[0].revents == 0 && fds[1].revents == 0;
       resume_if_stopped(fork_server)) {
    os::poll_until(fds, os::Deadline::never());
    drain_sigchld_fd(sigchld.get());
  }
}

void report_failed_fork(const os::SeqPacket& control, int error) {
  control.send(wire::bytes_of(wire::ForkFailed{.error = error, .worker = 0}));
}

[[noreturn]] void guard(os::SeqPacket control) {
  ::setsid();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  set_title("killable-guard", "guard");
  warm_up();
  os::fault_point(os::Fault::guard_before_fork_server);
  const FdLimit fd_limit;
  const pid_t self = ::getpid();
  const pid_t child = ::fork();
  if (child == -1) report_failed_fork(control, errno);
  if (child == 0) run_fork_server(std::move(control), self, fd_limit);
  if (const os::Pidfd pidfd = os::Pidfd::open(child)) watch(control, child, pidfd);
  kill_all_descendants();
  ::_exit(0);
}

/// Runs in the process between host and guard.
[[noreturn]] void introduce_and_exit(const os::SeqPacket& control, pid_t guard,
                                     int error) noexcept {
  try {
    if (guard == -1)
      report_failed_fork(control, error);
    else if (const os::Pidfd pidfd = os::Pidfd::open(guard))
      control.send(wire::bytes_of(wire::Guarded{}), std::array{pidfd.get()});
  } catch (const std::exception&) {
  }
  ::_exit(0);
}

[[noreturn]] void leave_host_family(os::SeqPacket control) noexcept {
  os::reset_signals();
  provide_standard_descriptors();
  const pid_t child = ::fork();
  if (child != 0) introduce_and_exit(control, child, errno);
  try {
    guard(std::move(control));
  } catch (const std::exception&) {
  }
  kill_all_descendants();
  ::_exit(1);
}

}  // namespace

void run_guard() noexcept {
  os::SeqPacket control{os::UniqueFd(wire::kControlFd)};
  ::fcntl(wire::kControlFd, F_SETFD, FD_CLOEXEC);
  leave_host_family(std::move(control));
}

}  // namespace killable::worker

void killable::channel::become_guard(os::SeqPacket control) noexcept {
  // Everything else that the host had open is not ours to keep.
  const int fd = std::move(control).take().release();
  if (fd != wire::kControlFd) ::dup2(fd, wire::kControlFd);
  ::close_range(wire::kControlFd + 1, ~0u, 0);
  worker::run_guard();
}
