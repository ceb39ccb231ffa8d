#include "core/session.hpp"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include <killable/options.hpp>

#include "channel/bell.hpp"
#include "channel/shared_memory.hpp"
#include "os/errno_error.hpp"

namespace killable::core {

namespace {

using std::chrono::nanoseconds;

/// Given out once each in this process, whichever session it is for.
std::atomic<wire::WorkerId> next_worker_id{1};

std::int64_t count_of(nanoseconds duration) noexcept { return duration.count(); }

/// Beside the copying of larger arguments a fork is little: the spares are for others.
constexpr std::uint64_t kSpareArgumentBytes = std::uint64_t{1} << 20;

/// What a spare's slot is made for.
constexpr std::uint64_t kPlainResultBytes = Options().max_result_bytes;

bool can_serve_as_spare(const Session::Request& request) noexcept {
  return !request.spawn && request.call.max_result_bytes == kPlainResultBytes &&
         request.call.arguments.size() <= kSpareArgumentBytes;
}

}  // namespace

Session::Session(spawn::Launched launched, std::size_t most_spares)
    : guard_(std::move(launched.guard)),
      fork_server_(std::move(launched.fork_server)),
      control_(std::move(launched.control)),
      spare_target_(most_spares) {}

std::optional<HostWorker> Session::start(const Request& request) {
  Lock lock(mutex_);
  notice_deaths(lock);
  if (can_serve_as_spare(request)) {
    if (std::optional<HostWorker> spare = take_spare(lock)) {
      deliver(*spare, request);
      lock.unlock();
      spare->inbox->post(request.call);
      return spare;
    }
  }
  if (lost_) return std::nullopt;
  return await_worker(lock, ask_to_serve(request));
}

/// All but the call itself.
void Session::deliver(const HostWorker& spare, const Request& request) try {
  channel::hand_over(spare.channel, request.call.attached);
  if (request.timeout)
    send_arm(spare.id, wire::TimeoutFrom::entry, *request.timeout, request.grace);
} catch (...) {
  records_.erase(spare.id);
  spare.watch->pidfd.send_signal(SIGKILL);
  throw;
}

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

std::optional<HostWorker> Session::take_spare(Lock& lock) {
  if (spares_.empty() || !records_.at(spares_.front().id).is_decided())
    spare_target_.missed();
  while (!spares_.empty() && !lost_) {
    Asked spare = std::move(spares_.front());
    const wire::WorkerId id = spare.id;
    spares_.pop_front();
    try {
      std::optional<HostWorker> worker = await_worker(lock, std::move(spare));
      // One that could not become a worker has committed why: that was another time.
      if (worker && !worker->watch->pidfd.has_ended() && !worker->slot->has_commit(id, 1))
        return worker;
      records_.erase(id);
    } catch (const std::system_error&) {
      // That one could not be forked when it was asked for; now may be another time.
    }
  }
  return std::nullopt;
}

std::optional<HostWorker> Session::make_idle(std::uint64_t max_result_bytes) {
  Lock lock(mutex_);
  notice_deaths(lock);
  if (max_result_bytes == kPlainResultBytes)
    if (std::optional<HostWorker> spare = take_spare(lock)) return spare;
  if (lost_) return std::nullopt;
  return await_worker(lock, ask_to_wait(max_result_bytes));
}

Session::Asked Session::make_asked(std::uint64_t max_result_bytes) {
  channel::HostSlot slot(max_result_bytes);
  os::UniqueFd bell = channel::make_bell();
  auto [host_end, worker_end] = os::SeqPacket::make_pair();
  host_end.refuse_messages();
  return {.id = next_worker_id.fetch_add(1),
          .slot = std::move(slot),
          .inbox = {},
          .bell = std::move(bell),
          .channel = std::move(host_end),
          .worker_end = std::move(worker_end)};
}

Session::Asked Session::ask_to_wait(std::uint64_t max_result_bytes) {
  Asked asked = make_asked(max_result_bytes);
  asked.slot.prepare();
  asked.inbox.emplace(kInboxCapacity);
  send_fork(asked, {.inbox = asked.inbox->memfd(), .bytes = asked.inbox->bytes()});
  asked.inbox->close_memfd();
  return asked;
}

Session::Asked Session::ask_to_serve(const Request& request) {
  Asked asked = make_asked(request.call.max_result_bytes);
  const os::UniqueFd inbox = channel::make_filled_inbox(request.call);
  channel::hand_over(asked.channel, request.call.attached);
  send_fork(asked, {.inbox = inbox.get(),
                    .bytes = channel::filled_inbox_bytes(request.call),
                    .spawn = request.spawn,
                    .timeout = request.timeout,
                    .grace = request.grace});
  return asked;
}

void Session::send_fork(Asked& asked, const Delivery& delivery) {
  const wire::Fork fork{
      .spawn = delivery.spawn,
      .worker = asked.id,
      .slot_bytes = asked.slot.bytes(),
      .inbox_bytes = delivery.bytes,
      .timeout_ns = delivery.timeout ? count_of(*delivery.timeout) : wire::kNoTimeout,
      .grace_ns = count_of(delivery.grace)};
  const std::array fds{asked.slot.memfd(), delivery.inbox, asked.bell.get(),
                       asked.worker_end.get()};
  send(fork, fds);
  asked.worker_end.reset();
  records_.emplace(asked.id, Record{});
}

std::optional<HostWorker> Session::await_worker(Lock& lock, Asked asked) {
  const auto found = records_.find(asked.id);
  pump_until(lock, os::Deadline::never(), [&] { return found->second.is_decided(); });
  Record& record = found->second;
  if (!record.is_decided()) return std::nullopt;
  if (record.fork_error != 0) {
    const int error = record.fork_error;
    records_.erase(found);
    os::throw_errno(error, "fork a worker");
  }
  return HostWorker{
      .id = asked.id,
      .pid = record.pid,
      .slot = std::make_shared<channel::HostSlot>(std::move(asked.slot)),
      .inbox = std::move(asked.inbox),
      .channel = std::move(asked.channel),
      .watch = std::make_shared<Watch>(std::move(asked.bell), std::move(record.pidfd))};
}

void Session::discard(HostWorker&& worker) noexcept {
  std::optional<HostWorker> discarded = std::move(worker);
  const Lock lock(mutex_);
  discarded_.swap(discarded);
}

void Session::refill() noexcept {
  std::optional<HostWorker> discarded;
  Lock lock(mutex_);
  discarded_.swap(discarded);
  try {
    fill_spares(lock);
  } catch (const std::exception&) {
    // Spares are a convenience: the next start that needs one will say what is short.
  }
}

void Session::refill_if_empty() noexcept {
  {
    const Lock lock(mutex_);
    if (!spares_.empty()) return;
  }
  refill();
}

void Session::fill_spares(const Lock&) {
  // One that could not be forked when it was asked for: now may be another time.
  std::erase_if(spares_, [this](const Asked& spare) {
    const auto record = records_.find(spare.id);
    const bool has_failed = record->second.fork_error != 0;
    if (has_failed) records_.erase(record);
    return has_failed;
  });
  const std::size_t target = spare_target_.count();
  while (!lost_ && spares_.size() < target)
    spares_.push_back(ask_to_wait(kPlainResultBytes));
}

void Session::await_spares() {
  Lock lock(mutex_);
  if (!pumping_) receive();  // A loss that nobody was there to notice.
  fill_spares(lock);
  pump_until(lock, os::Deadline::never(), [&] {
    return std::ranges::all_of(
        spares_, [&](const Asked& spare) { return records_.at(spare.id).is_decided(); });
  });
}

void Session::send_arm(wire::WorkerId worker, wire::TimeoutFrom from, nanoseconds timeout,
                       nanoseconds grace) {
  send(wire::Arm{.from = from,
                 .worker = worker,
                 .timeout_ns = count_of(timeout),
                 .grace_ns = count_of(grace)});
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
  send(wire::End{.mode = mode, .worker = worker, .grace_ns = count_of(grace)});
}

bool Session::await_ended(wire::WorkerId worker, const os::Deadline& deadline) {
  Lock lock(mutex_);
  return pump_until(lock, deadline, [&] {
    const auto record = records_.find(worker);
    return record == records_.end() || record->second.ended.has_value();
  });
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

template <class Message>
void Session::send(const Message& message, std::span<const int> fds) {
  if (!lost_ && !control_.send(wire::bytes_of(message), fds)) lose();
}

/// Blocks until done(), the deadline or the session's loss; false only for the deadline.
template <class Done>
bool Session::pump_until(Lock& lock, const os::Deadline& deadline, Done done) {
  while (!done() && !lost_) {
    if (deadline.passed()) return false;
    if (!pumping_) {
      poll_control(lock, deadline);
    } else if (deadline.is_never()) {
      pumped_.wait(lock);
    } else {
      pumped_.wait_until(lock, deadline.instant());
    }
  }
  return true;
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

void Session::dispatch(std::span<const std::byte> message,
                       std::vector<os::UniqueFd>& fds) {
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
