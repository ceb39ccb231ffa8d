#include "channel/bell.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "os/deadline.hpp"
#include "os/errno_error.hpp"

namespace killable::channel {

os::UniqueFd make_bell() {
  os::UniqueFd bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell) os::throw_errno(errno, "make an eventfd");
  return bell;
}

void ring(int bell) noexcept {
  const std::uint64_t one = 1;
  // It can only fail by EAGAIN, when the counter is full, and then the bell has rung.
  [[maybe_unused]] const ssize_t written = ::write(bell, &one, sizeof one);
}

bool has_rung(int bell) noexcept { return os::is_ready(bell, POLLIN); }

}  // namespace killable::channel
