#include "channel/slot.hpp"

#include <linux/futex.h>
#include <pthread.h>

#include <algorithm>
#include <string>

#include <killable/errors.hpp>

#include "channel/shared_memory.hpp"
#include "os/deadline.hpp"
#include "os/futex.hpp"
#include "os/huge_pages.hpp"
#include "os/memfd.hpp"
#include "os/spin.hpp"
#include "wire/alignment.hpp"

namespace killable::channel {

namespace {

/// What the host maps of every slot at once, and keeps of its memory from call to call:
/// enough for most results.
constexpr std::uint64_t kWindowBytes = std::uint64_t{64} << 10;

std::uint64_t slot_bytes(std::uint64_t max_result_bytes) {
  const std::uint64_t used =
      wire::kSlotResultOffset +
      std::max<std::uint64_t>(max_result_bytes, wire::kMinResultBytes);
  return wire::rounded_up(used, wire::kArrayAlignment);
}

wire::SlotHeader& header_of(const Mapping& mapping) {
  // Atomics that are lock-free are plain words, and fresh memfd memory is all zero.
  return *reinterpret_cast<wire::SlotHeader*>(mapping.bytes().data());
}

/// What the entry of a call holds before its commit: that of the call before it there.
std::uint64_t earlier_word(wire::WorkerId worker, wire::CallNumber number) noexcept {
  return number <= wire::kRing ? 0 : wire::commit_word(worker, number - wire::kRing);
}

std::uint64_t cell_offset(wire::CallNumber number) noexcept {
  return wire::kCellsOffset + number % wire::kRing * wire::kCellBytes;
}

std::uint64_t result_offset(wire::CallNumber number, std::uint64_t length) noexcept {
  return length <= wire::kCellBytes ? cell_offset(number) : wire::kSlotResultOffset;
}

void check_arrays(const Committed& committed, std::uint64_t slot_bytes) {
  const std::uint64_t begin = committed.arrays_begin;
  if (begin == 0) return;
  if (begin % wire::kArrayAlignment != 0 || begin > slot_bytes ||
      begin < wire::kSlotResultOffset + committed.length)
    throw ProtocolViolation("the worker committed arrays from " + std::to_string(begin) +
                            " on in a slot of " + std::to_string(slot_bytes));
}

}  // namespace

HostSlot::HostSlot(std::uint64_t max_result_bytes)
    : memfd_(os::create_memfd("the slot", slot_bytes(max_result_bytes))),
      bytes_(slot_bytes(max_result_bytes)) {
  os::seal(memfd_.get(), os::Seals::size, "the slot");
  window_ = Mapping(memfd_.get(), Mapping::Access::read_only,
                    std::min(bytes_, kWindowBytes), "the slot");
}

bool HostSlot::has_commit(wire::WorkerId worker, wire::CallNumber number) const noexcept {
  return header_of(window_).entries[number % wire::kRing].commit.load(
             std::memory_order_acquire) != earlier_word(worker, number);
}

std::optional<Committed> HostSlot::committed(wire::WorkerId worker,
                                             wire::CallNumber number) const {
  const wire::SlotEntry& entry = header_of(window_).entries[number % wire::kRing];
  const std::uint64_t commit = entry.commit.load(std::memory_order_acquire);
  if (commit == earlier_word(worker, number)) return std::nullopt;
  const Committed copy{
      .kind = wire::ResultKind{entry.kind.load(std::memory_order_relaxed)},
      .length = entry.length.load(std::memory_order_relaxed),
      .committed_at_ns = entry.committed_at_ns.load(std::memory_order_relaxed),
      .is_clean = entry.is_clean.load(std::memory_order_relaxed) == 1,
      .arrays_begin = entry.arrays_begin.load(std::memory_order_relaxed)};
  if (commit != wire::commit_word(worker, number))
    throw ProtocolViolation("the worker's commit word is not its own");
  if (copy.kind != wire::ResultKind::value && copy.kind != wire::ResultKind::exception)
    throw ProtocolViolation("the worker committed a result of unknown kind " +
                            std::to_string(static_cast<std::uint32_t>(copy.kind)));
  if (copy.length > bytes_ - wire::kSlotResultOffset)
    throw ProtocolViolation("the worker committed a result of " +
                            std::to_string(copy.length) + " bytes into a slot of " +
                            std::to_string(bytes_));
  check_arrays(copy, bytes_);
  return copy;
}

HostSlot::Result HostSlot::result(wire::CallNumber number, const Committed& committed) {
  const std::uint64_t begin = result_offset(number, committed.length);
  const std::uint64_t end = begin + committed.length;
  if (end > window_.bytes().size() && end > large_.bytes().size())
    large_ = Mapping(memfd_.get(), Mapping::Access::read_only, end, "the result");
  if (committed.arrays_begin != 0 && !arrays_)
    arrays_ = map_arrays(committed.arrays_begin);
  Mapping& mapping = end > window_.bytes().size() ? large_ : window_;
  return {.bytes = mapping.bytes_for(end).subspan(begin, committed.length),
          .arrays = arrays_};
}

detail::MemoryPtr HostSlot::map_arrays(std::uint64_t begin) {
  Mapping mapping(memfd_.get(), Mapping::Access::read_write, bytes_ - begin,
                  "the arrays of the result", begin);
  return adopt_memory(std::move(memfd_), std::move(mapping), begin);
}

wire::CallNumber HostSlot::started() const noexcept {
  return header_of(window_).started.load();
}

wire::CallNumber HostSlot::entered() const noexcept {
  return header_of(window_).entered.load(std::memory_order_acquire);
}

bool HostSlot::spin_for_commit(wire::WorkerId worker,
                               wire::CallNumber number) const noexcept {
  const std::uint32_t processor =
      header_of(window_).processor.load(std::memory_order_relaxed);
  return processor != 0 && processor != os::this_processor() &&
         os::spin_until([&] { return has_commit(worker, number); });
}

bool HostSlot::await_death(const os::Deadline& deadline) const noexcept {
  const std::atomic<std::uint32_t>& life = header_of(window_).life;
  for (std::uint32_t word = life.load(); (word & FUTEX_TID_MASK) != 0;
       word = life.load()) {
    if (deadline.passed()) return false;
    os::futex_wait(life, word, deadline);
  }
  return true;
}

void HostSlot::trim() noexcept {
  if (large_.bytes().empty()) return;
  os::discard(memfd_.get(), kWindowBytes, bytes_ - kWindowBytes);
}

WorkerSlot::WorkerSlot(int memfd, std::uint64_t bytes)
    : mapping_(memfd, Mapping::Access::read_write, bytes, "the slot") {}

std::span<std::byte> WorkerSlot::cell(wire::CallNumber number) const noexcept {
  return mapping_.bytes().subspan(cell_offset(number), wire::kCellBytes);
}

std::span<std::byte> WorkerSlot::result_memory() const noexcept {
  return mapping_.bytes().subspan(wire::kSlotResultOffset);
}

std::span<std::byte> WorkerSlot::memory_for(std::uint64_t written,
                                            std::uint64_t more) noexcept {
  const std::uint64_t begin = wire::kSlotResultOffset + written;
  const std::uint64_t end = begin + more;
  const std::span<std::byte> memory = mapping_.bytes_for(end);
  // A huge page that begins before it is in use up to there. Small writes would only come
  // to make one of what they have almost filled.
  if (more >= os::kHugePageBytes)
    os::make_huge(
        memory.first(end).subspan(begin / os::kHugePageBytes * os::kHugePageBytes));
  return memory.subspan(wire::kSlotResultOffset);
}

void WorkerSlot::announce_life() noexcept {
  static_assert(sizeof(pthread_mutex_t) <= wire::kMutexBytes);
  auto* mutex = reinterpret_cast<pthread_mutex_t*>(&header_of(mapping_).life);
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ::pthread_mutex_init(mutex, &attributes);
  ::pthread_mutex_lock(mutex);
  ::pthread_mutexattr_destroy(&attributes);
  // Without this bit the kernel wakes nobody.
  header_of(mapping_).life.fetch_or(FUTEX_WAITERS);
}

void WorkerSlot::start(wire::CallNumber number) noexcept {
  header_of(mapping_).processor.store(os::this_processor(), std::memory_order_relaxed);
  header_of(mapping_).started.store(number);
}

void WorkerSlot::enter(wire::CallNumber number) noexcept {
  header_of(mapping_).entered.store(number, std::memory_order_release);
}

void WorkerSlot::commit(const Commit& commit) noexcept {
  const std::span<std::byte> own_cell = cell(commit.number);
  const std::span<const std::byte> result = commit.result;
  if (result.size() <= own_cell.size() && result.data() != own_cell.data())
    std::ranges::copy(result, own_cell.begin());
  wire::SlotEntry& entry = header_of(mapping_).entries[commit.number % wire::kRing];
  entry.kind.store(static_cast<std::uint32_t>(commit.kind), std::memory_order_relaxed);
  entry.length.store(result.size(), std::memory_order_relaxed);
  entry.arrays_begin.store(commit.arrays_begin, std::memory_order_relaxed);
  entry.committed_at_ns.store(os::monotonic_ns(), std::memory_order_relaxed);
  entry.is_clean.store(commit.is_clean ? 1 : 0, std::memory_order_relaxed);
  entry.commit.store(wire::commit_word(commit.worker, commit.number),
                     std::memory_order_release);
}

}  // namespace killable::channel
