#include "worker/sigchld_fd.hpp"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

#include "os/errno_error.hpp"

namespace killable::worker {

os::UniqueFd make_sigchld_fd() {
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &only, nullptr);
  os::UniqueFd fd(::signalfd(-1, &only, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) os::throw_errno(errno, "make a signalfd");
  return fd;
}

void drain_sigchld_fd(int fd) noexcept {
  signalfd_siginfo ignored;
  while (::read(fd, &ignored, sizeof ignored) > 0) {
  }
}

}  // namespace killable::worker
