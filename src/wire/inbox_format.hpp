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
/// forked for one call finds it there already. A spare waits for it.
///
/// The host reads nothing here, so there is nothing that a worker could forge.
namespace killable::wire {

inline constexpr std::size_t kNameBytes = 64;

struct InboxHeader {
  std::atomic<std::uint32_t> call;  ///< 0: none yet.
  std::uint32_t padding;
  std::uint64_t arguments_bytes;
  std::uint64_t max_result_bytes;
  char name[kNameBytes];  ///< Ends with a zero; cut if longer.
};

inline constexpr std::size_t kInboxArgumentsOffset = 128;
static_assert(sizeof(InboxHeader) <= kInboxArgumentsOffset);

}  // namespace killable::wire
