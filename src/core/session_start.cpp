#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <system_error>
#include <utility>

#include <killable/options.hpp>

#include "channel/bell.hpp"
#include "channel/shared_memory.hpp"
#include "core/session.hpp"
#include "os/errno_error.hpp"

/// How a call comes to a worker of the session: to a spare, or to one that is forked for
/// it.
namespace killable::core {

namespace {

/// Given out once each in this process, whichever session it is for.
std::atomic<wire::WorkerId> next_worker_id{1};

/// Beside the copying of larger arguments a fork is little: the spares are for others.
constexpr std::uint64_t kLargeArgumentBytes = std::uint64_t{1} << 20;

/// What a spare's slot is made for.
const std::uint64_t kPlainResultBytes = Options().max_result_bytes;

bool can_serve_as_spare(const Session::Request& request) noexcept {
  return !request.spawn && request.call.max_result_bytes == kPlainResultBytes &&
         request.call.arguments.size() <= kLargeArgumentBytes;
}

}  // namespace

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
  discarded_.reset();  // Its descriptors may be the ones that are missing.
  // Other calls do not wait while large arguments are copied. For small ones the lock
  // stays: a fork(2) of the host must not come in between, and leave its child
  // descriptors.
  const bool takes_long = request.call.arguments.size() > kLargeArgumentBytes;
  if (takes_long) lock.unlock();
  Asked asked = make_asked(request.call.max_result_bytes);
  const os::UniqueFd inbox = channel::make_filled_inbox(request.call);
  channel::hand_over(asked.channel, request.call.attached);
  if (takes_long) lock.lock();
  send_fork(asked, {.inbox = inbox.get(),
                    .bytes = channel::filled_inbox_bytes(request.call),
                    .spawn = request.spawn,
                    .timeout = request.timeout,
                    .grace = request.grace});
  return await_worker(lock, std::move(asked));
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
  discarded_.reset();
  return await_worker(lock, ask_to_wait(max_result_bytes));
}

Session::Asked Session::make_asked(std::uint64_t max_result_bytes) {
  auto slot = std::make_shared<channel::HostSlot>(max_result_bytes);
  auto watch = std::make_shared<Watch>(Watch{.bell = channel::make_bell(), .pidfd = {}});
  auto [host_end, worker_end] = os::SeqPacket::make_pair();
  host_end.refuse_messages();
  return {.id = next_worker_id.fetch_add(1),
          .slot = std::move(slot),
          .inbox = {},
          .watch = std::move(watch),
          .channel = std::move(host_end),
          .worker_end = std::move(worker_end)};
}

Session::Asked Session::ask_to_wait(std::uint64_t max_result_bytes) {
  Asked asked = make_asked(max_result_bytes);
  asked.slot->prepare();
  asked.inbox.emplace(kInboxCapacity);
  send_fork(asked, {.inbox = asked.inbox->memfd(), .bytes = asked.inbox->bytes()});
  asked.inbox->close_memfd();
  return asked;
}

void Session::send_fork(Asked& asked, const Delivery& delivery) {
  const wire::Fork fork{
      .spawn = delivery.spawn,
      .worker = asked.id,
      .slot_bytes = asked.slot->bytes(),
      .inbox_bytes = delivery.bytes,
      .timeout_ns = delivery.timeout ? delivery.timeout->count() : wire::kNoTimeout,
      .grace_ns = delivery.grace.count()};
  const std::array fds{asked.slot->memfd(), delivery.inbox, asked.watch->bell.get(),
                       asked.worker_end.get()};
  const auto record = records_.emplace(asked.id, Record{}).first;
  try {
    send(fork, fds);
  } catch (...) {
    records_.erase(record);
    throw;
  }
  asked.worker_end.reset();
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
  asked.watch->pidfd = std::move(record.pidfd);
  return HostWorker{.id = asked.id,
                    .pid = record.pid,
                    .slot = std::move(asked.slot),
                    .inbox = std::move(asked.inbox),
                    .channel = std::move(asked.channel),
                    .watch = std::move(asked.watch)};
}

void Session::discard(HostWorker&& worker) noexcept {
  std::optional<HostWorker> discarded = std::move(worker);
  const Lock lock(mutex_);
  discarded_.swap(discarded);
}

void Session::refill() noexcept {
  Lock lock(mutex_);
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
  discarded_.reset();
  // One that could not be forked when it was asked for: now may be another time.
  std::erase_if(spares_, [this](const Asked& spare) {
    const auto record = records_.find(spare.id);
    const bool has_failed = record->second.fork_error != 0;
    if (has_failed) records_.erase(record);
    return has_failed;
  });
  const std::size_t target = spare_target_.decayed_count();
  while (!lost_ && spares_.size() < target) {
    Asked spare = ask_to_wait(kPlainResultBytes);
    const wire::WorkerId id = spare.id;
    try {
      spares_.push_back(std::move(spare));
    } catch (...) {
      records_.erase(id);  // It ends as its channel has closed.
      throw;
    }
  }
}

void Session::await_spares() {
  Lock lock(mutex_);
  if (!pumping_) receive();  // A loss that nobody was there to notice.
  fill_spares(lock);
  pump_until(lock, os::Deadline::never(), [&] {
    return std::ranges::all_of(
        spares_, [&](const Asked& spare) { return records_.at(spare.id).is_decided(); });
  });
  for (const Asked& spare : spares_)
    if (const int error = records_.at(spare.id).fork_error)
      os::throw_errno(error, "fork a spare worker");
}

}  // namespace killable::core
