#include "channel/inbox.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "os/futex.hpp"
#include "os/huge_pages.hpp"
#include "os/memfd.hpp"
#include "os/spin.hpp"
#include "wire/alignment.hpp"

namespace killable::channel {

namespace {

/// Kept from call to call: most arguments never take more.
constexpr std::uint64_t kKeptBytes = std::uint64_t{1} << 20;

/// As aligned as any value; the codec counts from there.
constexpr std::uint64_t kArgumentAlignment = 64;

/// The arguments of calls that follow each other without a pause lie side by side up to
/// here, so that rows without end take no memory without end.
constexpr std::uint64_t kRowsEnd = std::uint64_t{64} << 10;

void fill(wire::InboxEntry& entry, const OutgoingCall& call,
          std::uint64_t arguments_begin) noexcept {
  entry.arguments_begin = arguments_begin;
  entry.arguments_bytes = call.arguments.size();
  entry.max_result_bytes = call.max_result_bytes;
  entry.afterwards = call.afterwards;
  entry.attached = static_cast<std::uint16_t>(call.attached.size());
  entry.name[call.name.copy(entry.name, sizeof entry.name - 1)] = '\0';
}

}  // namespace

HostInbox::HostInbox(std::uint64_t capacity)
    : memfd_(os::create_memfd("the inbox", wire::kInboxArgumentsOffset + capacity)),
      mapping_(memfd_.get(), Mapping::Access::read_write,
               wire::kInboxArgumentsOffset + capacity, "the inbox") {
  os::seal(memfd_.get(), os::Seals::size_and_future_writes, "the inbox");
  // The page that every call is written to: made now, while nobody waits for it.
  mapping_.bytes().front() = std::byte{0};
}

void HostInbox::add(const OutgoingCall& call) noexcept {
  if (last_ == taken_) end_ = wire::kInboxArgumentsOffset;
  const std::uint64_t begin = wire::rounded_up(end_, kArgumentAlignment);
  end_ = begin + call.arguments.size();
  const std::span<std::byte> memory = mapping_.bytes_for(end_);
  os::make_huge(memory.first(end_));
  std::ranges::copy(call.arguments, memory.subspan(begin).begin());
  fill(header().entries[++last_ % wire::kRing], call, begin);
  used_ = std::max(used_, end_);
}

void HostInbox::publish(Next next) noexcept {
  const std::uint32_t processor = next == Next::soon ? os::this_processor() : 0;
  header().processor.store(processor, std::memory_order_relaxed);
  header().posted.store(last_);
  os::futex_wake(header().posted);
}

void HostInbox::take(Wake wake) noexcept {
  header().taken.store(++taken_);
  if (wake == Wake::worker) os::futex_wake(header().taken);
}

void HostInbox::withdraw(wire::CallNumber number) noexcept {
  header().posted.store(number - 1);
  last_ = number - 1;
}

void HostInbox::restore(wire::CallNumber last) noexcept {
  last_ = last;
  publish();
}

bool HostInbox::has_room_for(std::uint64_t bytes) const noexcept {
  return last_ - taken_ < wire::kRing && end_ + kArgumentAlignment + bytes <= kRowsEnd;
}

wire::InboxHeader& HostInbox::header() const noexcept {
  return *reinterpret_cast<wire::InboxHeader*>(mapping_.bytes().data());
}

bool HostInbox::is_swollen() const noexcept { return used_ > kKeptBytes; }

os::UniqueFd make_filled_inbox(const OutgoingCall& call) {
  // write(2), which is the cheaper, makes no huge pages.
  if (filled_inbox_bytes(call) >= os::kHugePageBytes) {
    HostInbox inbox(call.arguments.size());
    inbox.post(call);
    return std::move(inbox).take_memfd();
  }
  alignas(wire::InboxHeader) std::array<std::byte, wire::kInboxArgumentsOffset>
      beginning{};
  auto& header = *new (beginning.data()) wire::InboxHeader{};
  fill(header.entries[1], call, wire::kInboxArgumentsOffset);
  header.posted.store(1, std::memory_order_relaxed);
  return os::create_sealed_memfd(
      "the arguments", std::array{std::span<const std::byte>(beginning), call.arguments});
}

std::uint64_t filled_inbox_bytes(const OutgoingCall& call) noexcept {
  return wire::kInboxArgumentsOffset + call.arguments.size();
}

WorkerInbox::WorkerInbox(int memfd, std::uint64_t bytes)
    : mapping_(memfd, Mapping::Access::read_only, bytes, "the arguments") {}

bool WorkerInbox::has_call(wire::CallNumber number) const noexcept {
  return header().posted.load() >= number;
}

void WorkerInbox::await_call(wire::CallNumber number) const noexcept {
  const std::uint32_t host = header().processor.load(std::memory_order_relaxed);
  const bool may_spin = host != 0 && host != os::this_processor();
  if (may_spin && os::spin_until([&] { return has_call(number); })) return;
  const std::atomic<wire::CallNumber>& posted = header().posted;
  for (wire::CallNumber last = posted.load(); last < number; last = posted.load())
    os::futex_wait(posted, last);
}

WorkerInbox::Call WorkerInbox::call(wire::CallNumber number) {
  const wire::InboxEntry& entry = header().entries[number % wire::kRing];
  const std::uint64_t end = entry.arguments_begin + entry.arguments_bytes;
  return {.name = entry.name,
          .max_result_bytes = entry.max_result_bytes,
          .arguments = mapping_.bytes_for(end).subspan(entry.arguments_begin,
                                                       entry.arguments_bytes),
          .afterwards = entry.afterwards,
          .attached = entry.attached};
}

void WorkerInbox::await_taken(wire::CallNumber number) const noexcept {
  const std::atomic<wire::CallNumber>& taken = header().taken;
  for (wire::CallNumber last = taken.load(); last < number; last = taken.load())
    os::futex_wait(taken, last);
}

const wire::InboxHeader& WorkerInbox::header() const noexcept {
  return *reinterpret_cast<const wire::InboxHeader*>(mapping_.bytes().data());
}

}  // namespace killable::channel
