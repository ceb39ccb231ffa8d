#include "os/deadline.hpp"

#include <algorithm>
#include <cerrno>

#include "os/errno_error.hpp"

namespace killable::os {

using std::chrono::nanoseconds;

Deadline Deadline::at(Clock::time_point instant) noexcept {
  Deadline deadline;
  deadline.instant_ = instant;
  return deadline;
}

Deadline Deadline::in(nanoseconds timeout) noexcept {
  return after(Clock::now(), std::max(timeout, nanoseconds{0}));
}

Deadline Deadline::after(Clock::time_point start, nanoseconds timeout) noexcept {
  if (timeout > Clock::time_point::max() - start) return never();
  return at(start + timeout);
}

std::optional<timespec> Deadline::left() const noexcept {
  if (is_never()) return std::nullopt;
  const nanoseconds left = std::max(instant_ - Clock::now(), nanoseconds{0});
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return timespec{.tv_sec = static_cast<time_t>(seconds.count()),
                  .tv_nsec = static_cast<long>((left - seconds).count())};
}

nanoseconds saturated(std::chrono::milliseconds duration) noexcept {
  using std::chrono::milliseconds;
  constexpr auto kLongest = std::chrono::duration_cast<milliseconds>(nanoseconds::max());
  return std::clamp(duration, -kLongest, kLongest);
}

std::uint64_t monotonic_ns() noexcept {
  return static_cast<std::uint64_t>(nanoseconds(Clock::now().time_since_epoch()).count());
}

int poll_until(std::span<pollfd> fds, const Deadline& deadline) {
  const std::optional<timespec> left = deadline.left();
  const int ready = ::ppoll(fds.data(), fds.size(), left ? &*left : nullptr, nullptr);
  if (ready >= 0) return ready;
  if (errno != EINTR) throw_errno(errno, "ppoll");
  // After a failure revents are unspecified.
  for (pollfd& fd : fds) fd.revents = 0;
  return 0;
}

void wait_until(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
                const Deadline& deadline) {
  if (deadline.is_never())
    changed.wait(lock);
  else
    changed.wait_until(lock, deadline.instant());
}

bool is_ready(int fd, short events) noexcept {
  pollfd entry{.fd = fd, .events = events, .revents = 0};
  return retry_on_eintr([&] { return ::poll(&entry, 1, 0); }) > 0;
}

}  // namespace killable::os
