#include "core/wait_set.hpp"

#include <algorithm>
#include <utility>

#include "channel/bell.hpp"

namespace killable::core {

void WaitSet::add(int fd, std::function<void()> on_event) {
  fds_.push_back({.fd = fd, .events = POLLIN, .revents = 0});
  on_event_.push_back(std::move(on_event));
}

const std::shared_ptr<const os::UniqueFd>& WaitSet::bell() {
  if (!bell_) {
    bell_ = std::make_shared<const os::UniqueFd>(channel::make_bell());
    add(bell_->get(), [] {});
  }
  return bell_;
}

void WaitSet::limit(const os::Deadline& deadline) {
  deadline_ = std::min(deadline_, deadline);
}

void WaitSet::wait() {
  os::poll_until(fds_, deadline_);
  for (std::size_t i = 0; i < fds_.size(); ++i)
    if (fds_[i].revents != 0) on_event_[i]();
}

}  // namespace killable::core
