#include "core/session.hpp"

#include <poll.h>
#include <signal.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "channel/bell.hpp"

namespace killable::core {

using std::chrono::nanoseconds;

Session::Session(spawn::Launched launched, std::size_t most_spares)
    : guard_(std::move(launched.guard)),
      fork_server_(std::move(launched.fork_server)),
      control_(std::move(launched.control)),
      spare_target_(most_spares) {}

/// The spares of a session that has ended would still look alive for a moment.
void Session::notice_deaths(Lock& lock) {
  std::array<pollfd, 2> fds{
      pollfd{.fd = guard_.get(), .events = POLLIN, .revents = 0},
      pollfd{.fd = fork_server_.get(), .events = POLLIN, .revents = 0}};
  if (os::poll_until(fds, os::Deadline::in(nanoseconds{0})) == 0) return;
  // Once the guard is gone, the fork server ends too, if nobody has stopped it.
  if (fds[0].revents != 0) fork_server_.send_signal(SIGCONT);
  pump_until(lock, os::Deadline::never(), [] { return false; });
}

void Session::send_arm(wire::WorkerId worker, wire::TimeoutFrom from, nanoseconds timeout,
                       nanoseconds grace) {
  send(wire::Arm{.from = from,
                 .worker = worker,
                 .timeout_ns = timeout.count(),
                 .grace_ns = grace.count()});
}

void Session::arm(wire::WorkerId worker, wire::TimeoutFrom from, nanoseconds timeout,
                  nanoseconds grace) {
  const Lock lock(mutex_);
  const auto record = records_.find(worker);
  if (record != records_.end()) record->second.is_armed = true;
  send_arm(worker, from, timeout, grace);
}

void Session::disarm(wire::WorkerId worker) {
  const Lock lock(mutex_);
  send(wire::Disarm{.worker = worker});
}

bool Session::is_disarmed(wire::WorkerId worker) {
  const Lock lock(mutex_);
  if (!pumping_) receive();
  const auto record = records_.find(worker);
  return record == records_.end() || !record->second.is_armed;
}

void Session::notify_of(wire::WorkerId worker, std::shared_ptr<const os::UniqueFd> bell) {
  const Lock lock(mutex_);
  const auto record = records_.find(worker);
  if (record != records_.end()) record->second.bell = std::move(bell);
}

void Session::receive_news() noexcept {
  const Lock lock(mutex_);
  if (!pumping_) receive();
}

void Session::end(wire::WorkerId worker, wire::EndMode mode, nanoseconds grace) {
  const Lock lock(mutex_);
  send(wire::End{.mode = mode, .worker = worker, .grace_ns = grace.count()});
}

bool Session::await_ended(wire::WorkerId worker, const os::Deadline& deadline) {
  Lock lock(mutex_);
  if (!pumping_) receive();  // Also if the deadline has passed.
  return pump_until(lock, deadline, [&] {
    const auto record = records_.find(worker);
    return record == records_.end() || record->second.ended.has_value();
  });
}

std::size_t Session::workers() {
  const Lock lock(mutex_);
  return records_.size();
}

bool Session::is_unused() {
  const Lock lock(mutex_);
  return records_.size() == spares_.size();
}

std::optional<wire::Ended> Session::ended(wire::WorkerId worker) {
  const Lock lock(mutex_);
  if (!pumping_) receive();
  const auto record = records_.find(worker);
  return record == records_.end() ? std::nullopt : record->second.ended;
}

void Session::forget(wire::WorkerId worker) {
  const Lock lock(mutex_);
  records_.erase(worker);
}

bool Session::flush() noexcept {
  const Lock lock(mutex_);
  if (control_.has_queued() && !pumping_) receive();
  return lost_ || !control_.has_queued();
}

void Session::abandon_in_child() noexcept {
  // Only this copy is closed: hanging up would end the parent's session.
  lost_ = true;
  spares_.clear();
  records_.clear();
  discarded_.reset();
  control_.close();
}

void Session::poll_control(Lock& lock, const os::Deadline& deadline) {
  const short events = static_cast<short>(POLLIN | (control_.has_queued() ? POLLOUT : 0));
  std::array<pollfd, 2> fds{
      pollfd{.fd = control_.socket().get(), .events = events, .revents = 0},
      pollfd{.fd = fork_server_death_seen_ ? -1 : fork_server_.get(),
             .events = POLLIN,
             .revents = 0}};
  pumping_ = true;
  lock.unlock();
  os::poll_until(fds, deadline);
  lock.lock();
  if (fds[1].revents != 0) {
    // From here on it is for the guard to clean up and close; one that somebody has
    // stopped could not.
    fork_server_death_seen_ = true;
    guard_.send_signal(SIGCONT);
  }
  pumping_ = false;
  receive();
  pumped_.notify_all();
}

void Session::Record::ring() const noexcept {
  if (bell) channel::ring(bell->get());
}

/// Takes in everything that has arrived, and sends what had to wait. Never blocks.
void Session::receive() noexcept {
  using Status = os::SeqPacket::Received::Status;
  try {
    if (!lost_ && !control_.flush()) lose();
    while (!lost_) {
      std::array<std::byte, wire::kMaxControlBytes> buffer;
      os::SeqPacket::Received received = control_.socket().receive(buffer);
      if (received.status == Status::would_block) return;
      if (received.status == Status::closed) return lose();
      dispatch(std::span(buffer).first(received.size), received.fds);
    }
  } catch (const std::exception&) {
    lose();
  }
}

void Session::dispatch(std::span<const std::byte> message, os::SeqPacket::Fds& fds) {
  if (const auto forked = wire::parse<wire::Forked>(message)) {
    const auto record = records_.find(forked->worker);
    if (record == records_.end()) return;
    if (fds.size() == 1) {
      record->second.pid = forked->pid;
      record->second.pidfd = os::Pidfd(std::move(fds[0]));
    } else {
      // The host has no descriptor left to receive the pidfd in.
      record->second.fork_error = EMFILE;
      send(wire::End{
          .mode = wire::EndMode::kill, .worker = forked->worker, .grace_ns = 0});
    }
  } else if (const auto failed = wire::parse<wire::ForkFailed>(message)) {
    const auto record = records_.find(failed->worker);
    if (record != records_.end()) record->second.fork_error = failed->error;
  } else if (const auto disarmed = wire::parse<wire::Disarmed>(message)) {
    const auto record = records_.find(disarmed->worker);
    if (record == records_.end()) return;
    record->second.is_armed = false;
    record->second.ring();
  } else if (const auto ended = wire::parse<wire::Ended>(message)) {
    const auto record = records_.find(ended->worker);
    if (record == records_.end()) return;
    record->second.ended = *ended;
    record->second.ring();
  }
}

/// Leaves the socket's number taken: another thread may be polling it. Hanging up matters
/// when this end is the one that failed: then guard and fork server clean up now.
void Session::lose() noexcept {
  lost_ = true;
  spares_.clear();
  control_.socket().hang_up();
  for (const auto& [id, record] : records_) record.ring();
}

}  // namespace killable::core
