#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

/// The memory in which a worker finds its call, its inbox: one memfd, made by the host,
/// sealed so that the host's own mapping is the last that can ever write to it
/// (F_SEAL_FUTURE_WRITE). The host alone writes it, the worker alone reads it.
///
///   0      InboxHeader
///   128    the arguments: `arguments_bytes` bytes,
///            arguments = trampoline callable parameter*
///          where `trampoline` and, for a function pointer, `callable` name a function
///
/// The host writes the arguments, then the header, and publishes `call` last, with
/// release order; then it wakes whoever waits on that word, a futex. A worker that was
/// forked for one call finds it there already. A spare waits for it. A worker of a pool
/// waits for one after the other; the host writes the next one only when the result of
/// the one before is in.
///
/// The host reads nothing here, so there is nothing that a worker could forge.
///
/// Besides, host and worker have a channel, a SOCK_SEQPACKET pair of the two alone, for
/// what may come at any time: Stop. The host's end refuses messages, and only ever sends
/// without waiting: a worker can neither send anything nor keep the host from going on.
namespace killable::wire {

inline constexpr std::size_t kNameBytes = 64;

/// The how many-th call of its worker a call is, from 1.
using CallNumber = std::uint32_t;

struct InboxHeader {
  std::atomic<CallNumber> call;  ///< 0: none yet.
  std::uint16_t is_last;         ///< 1: the worker exits after it. 0: it waits for more.
  std::uint16_t attached;        ///< How much memory comes beside it: memory_format.hpp.
  std::uint64_t arguments_bytes;
  std::uint64_t max_result_bytes;
  char name[kNameBytes];  ///< Ends with a zero; cut if longer.
};

/// Requests a stop of the current call.
struct Stop {
  char text[4] = {'s', 't', 'o', 'p'};
};

inline constexpr std::size_t kInboxArgumentsOffset = 128;
static_assert(sizeof(InboxHeader) <= kInboxArgumentsOffset);

}  // namespace killable::wire
