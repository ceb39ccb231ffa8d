#include "core/pool_worker.hpp"

#include <signal.h>

#include <chrono>

#include "os/process_memory.hpp"

namespace killable::core {

namespace {

/// Of the arguments or of the result: more is given back some time after the call.
constexpr std::size_t kLargeBytes = std::size_t{64} << 10;

constexpr std::chrono::milliseconds kKeptFor{500};

}  // namespace

bool PoolWorker::withdraw(std::size_t index) noexcept {
  if (index >= calls.size()) return true;
  channel::HostInbox& inbox = *host.inbox;
  const wire::CallNumber first = number(index);
  const wire::CallNumber last = inbox.last();
  inbox.withdraw(first);
  if (host.slot->started() < first) return true;
  inbox.restore(last);
  return false;
}

void PoolWorker::request_stop() noexcept {
  // Its next call would find the stop of this one.
  is_condemned = true;
  host.request_stop();
}

void PoolWorker::strike() noexcept {
  const os::Pidfd& pidfd = host.watch->pidfd;
  is_doomed = is_doomed || (!pidfd.has_ended() && pidfd.send_signal(SIGKILL));
}

bool PoolWorker::may_go_on(const PoolOptions& limits) const {
  return !is_condemned && is_reusable() && host.inbox->last() < wire::kMaxCalls &&
         (!is_spent(limits) || !calls.empty()) &&
         // What the initializer takes, every worker would.
         (limits.max_worker_memory_bytes == 0 || user_calls() == 0 ||
          os::resident_bytes(host.pid) <= limits.max_worker_memory_bytes);
}

/// Memory that is there already takes a tenth of the time of memory that has to be made,
/// so it is kept as long as large calls follow each other.
bool PoolWorker::note_memory(std::size_t bytes) noexcept {
  if (bytes > kLargeBytes) {
    trim_at = os::Deadline::in(kKeptFor);
    return true;
  }
  // What waits in a row may have its result in the slot by now.
  if (calls.size() == 1) trim_if_due();
  return false;
}

void PoolWorker::trim_if_due() noexcept {
  if (!trim_at.passed()) return;
  trim_at = os::Deadline::never();
  host.slot->trim();
  if (host.inbox && host.inbox->is_swollen()) is_condemned = true;
}

}  // namespace killable::core
