#pragma once

#include <poll.h>

#include <functional>
#include <memory>
#include <vector>

#include "os/deadline.hpp"
#include "os/unique_fd.hpp"

namespace killable::core {

/// What one thread waits for, of any number of calls: descriptors, each with what is to
/// be done when it has something to tell, and one bell that others ring.
class WaitSet {
 public:
  /// Runs `on_event` if `fd` becomes readable. Whoever owns `fd` keeps it open.
  void add(int fd, std::function<void()> on_event);

  /// An eventfd that ends the wait, for those that have no descriptor to poll.
  const std::shared_ptr<const os::UniqueFd>& bell();

  /// The wait is no longer than until `deadline`.
  void limit(const os::Deadline& deadline);
  const os::Deadline& deadline() const noexcept { return deadline_; }

  /// Waits until an event, a ring, a signal handler or the deadline.
  void wait();

 private:
  std::vector<pollfd> fds_;
  std::vector<std::function<void()>> on_event_;
  std::shared_ptr<const os::UniqueFd> bell_;
  os::Deadline deadline_ = os::Deadline::never();
};

}  // namespace killable::core
