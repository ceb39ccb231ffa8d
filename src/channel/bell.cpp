#include "channel/bell.hpp"

#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

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

bool silence(int bell) noexcept {
  std::uint64_t rings = 0;
  const iovec into{.iov_base = &rings, .iov_len = sizeof rings};
  return ::preadv2(bell, &into, 1, -1, RWF_NOWAIT) == sizeof rings;
}

}  // namespace killable::channel
