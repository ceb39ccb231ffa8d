#include "worker/death_watch.hpp"

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "os/errno_error.hpp"

namespace killable::worker {

DeathWatch::DeathWatch() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) os::throw_errno(errno, "make an epoll instance");
}

std::optional<wire::WorkerId> DeathWatch::next() const noexcept {
  epoll_event event;
  if (::epoll_wait(epoll_.get(), &event, 1, 0) <= 0) return std::nullopt;
  return wire::WorkerId{event.data.u64};
}

// Once: the tracer may be a debugger, which is not ours to end.
bool DeathWatch::add(const os::Pidfd& pidfd, wire::WorkerId worker) const noexcept {
  epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = worker}};
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd.get(), &event) == 0;
}

// Closing does not remove it: the host has the same open file. See epoll(7).
void DeathWatch::remove(const os::Pidfd& worker) const noexcept {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, worker.get(), nullptr);
}

std::optional<Death> reap_child(pid_t child) noexcept {
  siginfo_t info{};
  Death death;
  // By number: only the system call itself gives the rusage. See waitid(2), "C library/
  // kernel differences".
  if (::syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOHANG | __WALL,
                &death.usage) != 0 ||
      info.si_pid == 0)
    return std::nullopt;
  death.code = info.si_code;
  death.status = info.si_status;
  return death;
}

}  // namespace killable::worker
