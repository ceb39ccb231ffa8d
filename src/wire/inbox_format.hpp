#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

/// The memory in which a worker finds its call, its inbox: one memfd, made by the host,
/// sealed so that the host's own mapping is the last that can ever write to it
/// (F_SEAL_FUTURE_WRITE). The host alone writes it, the worker alone reads it.
///
///   0      InboxHeader, with an entry for each of kRing calls: call n has entry n % kRing
///   1024   arguments: for each call `arguments_bytes` bytes from `arguments_begin` on,
///            arguments = trampoline callable parameter*
///          where `trampoline` and, for a function pointer, `callable` name a function
///
/// The host writes arguments and entry, and publishes them by `posted`, with release
/// order; then it wakes whoever waits on that word, a futex. A worker that was forked for
/// one call finds it there already. A spare waits for it. A worker of a pool runs one
/// after the other; the host posts up to kRing before it has the result of the first.
///
/// It takes calls back by setting `posted` to a lower number. A worker that is about to
/// start call n says so (SlotHeader, `started`) and then looks at `posted` again; the
/// host changes `posted` and then looks at `started`. All four in sequentially consistent
/// order, so at least one of the two sees the other, as in Dekker's algorithm: a call
/// that the host has taken back and does not see started is never run.
///
/// The host reads nothing here, so there is nothing that a worker could forge.
///
/// Besides, host and worker have a channel: channel_format.hpp.
namespace killable::wire {

inline constexpr std::size_t kNameBytes = 64;

/// The how many-th call of its worker a call is, from 1.
using CallNumber = std::uint32_t;

/// How many calls a worker may have at a time.
inline constexpr CallNumber kRing = 8;

/// What a worker does after a call.
enum class Afterwards : std::uint16_t {
  wait_if_clean,  ///< For more, if it is as it was; else it exits.
  exit,
  wait,  ///< For more. As it is now, so it is to be after each of them: an initializer.
};

struct InboxEntry {
  std::uint64_t arguments_begin;  ///< From the beginning of the inbox.
  std::uint64_t arguments_bytes;
  std::uint64_t max_result_bytes;
  Afterwards afterwards;
  std::uint16_t attached;  ///< How much memory comes by the channel.
  char name[kNameBytes];   ///< Ends with a zero; cut if longer.
};

struct InboxHeader {
  std::atomic<CallNumber> posted;  ///< The worker may start calls up to this one.
  std::atomic<CallNumber> taken;   ///< The host has the results of calls up to this one.
  InboxEntry entries[kRing];
  /// Where the host runs, counted from 1, if it posts the next call soon: then the worker
  /// may spin for it, on another processor. Else 0.
  std::atomic<std::uint32_t> processor;
};

inline constexpr std::size_t kInboxArgumentsOffset = 1024;
static_assert(sizeof(InboxHeader) <= kInboxArgumentsOffset);

}  // namespace killable::wire
