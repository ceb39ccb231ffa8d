#include "channel/inbox.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "os/futex.hpp"
#include "os/huge_pages.hpp"
#include "os/memfd.hpp"

namespace killable::channel {

namespace {

/// Kept from call to call: most arguments never take more.
constexpr std::uint64_t kKeptBytes = std::uint64_t{1} << 20;

/// All but the word that publishes it.
void fill(wire::InboxHeader& header, const OutgoingCall& call) noexcept {
  header.arguments_bytes = call.arguments.size();
  header.max_result_bytes = call.max_result_bytes;
  header.is_last = call.is_last ? 1 : 0;
  header.attached = static_cast<std::uint16_t>(call.attached.size());
  header.name[call.name.copy(header.name, sizeof header.name - 1)] = '\0';
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

void HostInbox::post(const OutgoingCall& call) noexcept {
  const std::uint64_t end = wire::kInboxArgumentsOffset + call.arguments.size();
  const std::span<std::byte> memory = mapping_.bytes_for(end);
  os::make_huge(memory.first(end));
  std::ranges::copy(call.arguments, memory.begin() + wire::kInboxArgumentsOffset);
  auto& header = *reinterpret_cast<wire::InboxHeader*>(memory.data());
  fill(header, call);
  used_ = std::max<std::uint64_t>(used_, call.arguments.size());
  header.call.store(++posted_, std::memory_order_release);
  os::futex_wake(header.call);
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
  fill(header, call);
  header.call.store(1, std::memory_order_relaxed);
  return os::create_sealed_memfd(
      "the arguments", std::array{std::span<const std::byte>(beginning), call.arguments});
}

std::uint64_t filled_inbox_bytes(const OutgoingCall& call) noexcept {
  return wire::kInboxArgumentsOffset + call.arguments.size();
}

WorkerInbox::WorkerInbox(int memfd, std::uint64_t bytes)
    : mapping_(memfd, Mapping::Access::read_only, bytes, "the arguments") {}

bool WorkerInbox::has_call(wire::CallNumber number) const noexcept {
  return header().call.load(std::memory_order_acquire) == number;
}

WorkerInbox::Call WorkerInbox::await_call(wire::CallNumber number) {
  const wire::InboxHeader& posted = header();
  while (!has_call(number)) os::futex_wait(posted.call, number - 1);
  const std::uint64_t end = wire::kInboxArgumentsOffset + posted.arguments_bytes;
  return {.name = posted.name,
          .max_result_bytes = posted.max_result_bytes,
          .arguments =
              mapping_.bytes_for(end).first(end).subspan(wire::kInboxArgumentsOffset),
          .is_last = posted.is_last != 0,
          .attached = posted.attached};
}

const wire::InboxHeader& WorkerInbox::header() const noexcept {
  return *reinterpret_cast<const wire::InboxHeader*>(mapping_.bytes().data());
}

}  // namespace killable::channel
