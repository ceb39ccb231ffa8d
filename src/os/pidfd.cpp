#include "os/pidfd.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/deadline.hpp"

namespace killable::os {

Pidfd Pidfd::open(pid_t pid) noexcept {
  // By number: sys/pidfd.h of glibc 2.36 declares its wrappers without C linkage.
  return Pidfd(UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
}

bool Pidfd::send_signal(int signal) const noexcept {
  return ::syscall(SYS_pidfd_send_signal, fd_.get(), signal, nullptr, 0) == 0;
}

bool Pidfd::has_ended() const noexcept { return is_ready(fd_.get(), POLLIN); }

}  // namespace killable::os
