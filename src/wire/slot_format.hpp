#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "wire/control.hpp"
#include "wire/inbox_format.hpp"

/// The memory that a worker answers in, its slot: one memfd, made by the host, whose size
/// is sealed. The worker alone writes it, the host alone reads it.
///
///   0      SlotHeader, with an entry for each of kRing calls: call n has entry n % kRing
///   512    kRing cells of kCellBytes: the result of call n, if it is that small, lies in
///          cell n % kRing
///   4096   a larger result: `length` bytes, an encoded value or an exception record
///   ...
///   from `arrays_begin` to the end: the SharedArrays that the worker made
///
/// The worker writes the result, then the entry but for `commit`, and publishes that
/// last, with release order; then it rings the bell (an eventfd). The host loads `commit`
/// with acquire order, copies the other fields once, checks the copies and uses only
/// those. The arrays it maps to be written, too: they are the caller's from then on.
///
/// After a result that does not fit its cell, the worker starts no call until the host
/// has that result (InboxHeader, `taken`).
///
/// A hostile worker can write anything here at any time. It can commit garbage: the
/// length is checked against the slot's size, and the decoder trusts no byte of the
/// result. It can ring without committing, or never: the host watches the worker's pidfd
/// beside the bell.
namespace killable::wire {

enum class ResultKind : std::uint32_t { value = 1, exception = 2 };

inline constexpr std::size_t kMutexBytes = 40;

struct SlotEntry {
  std::atomic<std::uint64_t> commit;  ///< commit_word() once the result is whole.
  std::atomic<std::uint64_t> length;
  std::atomic<std::uint64_t> committed_at_ns;  ///< CLOCK_MONOTONIC.
  std::atomic<std::uint64_t> arrays_begin;     ///< 0: the result holds none.
  std::atomic<std::uint32_t> kind;
  std::atomic<std::uint32_t> is_clean;  ///< 1: the worker is as it was before the call.
};

struct SlotHeader {
  SlotEntry entries[kRing];
  std::atomic<CallNumber> started;  ///< The last call that the worker took.
  std::atomic<CallNumber> entered;  ///< The last call whose function was entered.
  /// A robust mutex of the worker's, which its thread holds for as long as it lives. The
  /// kernel clears the first word and wakes who waits on it, a futex, before it takes the
  /// dead worker's memory apart, which takes long for a large one.
  /// The host looks at that word alone, and only after its own SIGKILL: then it is a
  /// matter of time that it changes, and a worker that forges it forges its own death.
  /// See get_robust_list(2).
  alignas(8) std::atomic<std::uint32_t> life;
  std::byte rest_of_mutex[kMutexBytes - sizeof(std::uint32_t)];
  std::atomic<std::uint32_t> processor;  ///< Where that call was taken, from 1.
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

inline constexpr std::size_t kCellsOffset = 512;
static_assert(sizeof(SlotHeader) <= kCellsOffset);

/// On the header's page, so that a small result takes no other. As aligned as any value.
inline constexpr std::size_t kCellBytes = 384;

inline constexpr std::size_t kSlotResultOffset = 4096;
static_assert(kCellsOffset + kRing * kCellBytes <= kSlotResultOffset);

/// Of each array, and so of arrays_begin, from the beginning of the slot: a page.
inline constexpr std::uint64_t kArrayAlignment = 4096;

/// Every slot has room for this much, however small max_result_bytes is: for exceptions.
inline constexpr std::size_t kMinResultBytes = std::size_t{2} << 20;

/// A worker's calls, that their commits may differ. The host replaces it after so many.
inline constexpr CallNumber kMaxCalls = (CallNumber{1} << 24) - 1;

/// Differs for each call of each worker, so that none is taken for another, and from
/// zero, which a fresh slot holds.
constexpr std::uint64_t commit_word(WorkerId worker, CallNumber call) noexcept {
  return worker ^ std::uint64_t{call} << 40 ^ 0x6b696c6c61626c65;  // "killable"
}

}  // namespace killable::wire
