#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <killable/detail/shared_memory.hpp>

#include "channel/mapping.hpp"
#include "os/deadline.hpp"
#include "os/unique_fd.hpp"
#include "wire/slot_format.hpp"

namespace killable::channel {

/// What a worker committed, copied out of its slot and checked.
struct Committed {
  wire::ResultKind kind;
  std::uint64_t length;
  std::uint64_t committed_at_ns;
  bool is_clean;               ///< The worker claims to be fit for another call.
  std::uint64_t arrays_begin;  ///< 0: it holds none.
};

/// The host's side of a slot: makes it, and believes nothing in it. Not thread-safe.
class HostSlot {
 public:
  /// A slot for results of up to `max_result_bytes`. Throws std::system_error.
  explicit HostSlot(std::uint64_t max_result_bytes);

  int memfd() const noexcept { return memfd_.get(); }
  std::uint64_t bytes() const noexcept { return bytes_; }

  /// Takes now the page fault that the first look at it takes.
  void prepare() const noexcept { has_commit(0, 1); }

  /// Whether anything was committed for the call `number` of `worker`.
  bool has_commit(wire::WorkerId worker, wire::CallNumber number) const noexcept;

  /// What `worker` has committed for its call `number`; empty if nothing yet. Throws
  /// ProtocolViolation if the commit does not hold what a commit must hold.
  std::optional<Committed> committed(wire::WorkerId worker,
                                     wire::CallNumber number) const;

  /// The worker's claims: the last call that it took, and whose function it entered.
  wire::CallNumber started() const noexcept;
  wire::CallNumber entered() const noexcept;

  /// Spins for a commit of call `number`, if the worker claims to run on another
  /// processor. False: it takes too long for that. Thread-safe.
  bool spin_for_commit(wire::WorkerId worker, wire::CallNumber number) const noexcept;

  /// Blocks until the worker's thread can run no more code of the worker's, or
  /// `deadline`. Means something only after a SIGKILL of the host's own. Thread-safe.
  bool await_death(const os::Deadline& deadline) const noexcept;

  struct Result {
    std::span<const std::byte> bytes;
    detail::MemoryPtr arrays;  ///< All of the worker's, in one; null if there are none.
  };

  /// The committed result of call `number`, in place; takes memfd() if arrays lie in it.
  /// Its bytes can change under the reader for as long as any process of the worker
  /// lives. Throws std::system_error if it cannot be mapped.
  Result result(wire::CallNumber number, const Committed& committed);

  /// Gives the memory of large results back. Requires: nobody reads them any more.
  void trim() noexcept;

  /// No larger result is to be mapped.
  void close_memfd() noexcept { memfd_.reset(); }

 private:
  detail::MemoryPtr map_arrays(std::uint64_t begin);

  os::UniqueFd memfd_;
  std::uint64_t bytes_;
  Mapping window_;  ///< The beginning, for as long as this lives: threads may wait there.
  Mapping large_;   ///< Once a result was asked for that ends beyond it.
  detail::MemoryPtr arrays_;
};

/// The worker's side.
class WorkerSlot {
 public:
  WorkerSlot(int memfd, std::uint64_t bytes);

  /// All of it.
  std::span<std::byte> memory() const noexcept { return mapping_.bytes(); }

  /// Where the result of call `number` is to be written if it is small, and if not.
  std::span<std::byte> cell(wire::CallNumber number) const noexcept;
  std::span<std::byte> result_memory() const noexcept;

  /// The same memory, for who has written so many bytes of the result and now writes
  /// `more`.
  std::span<std::byte> memory_for(std::uint64_t written, std::uint64_t more) noexcept;

  /// From now on the slot tells of the death of this thread: see SlotHeader::life. Also
  /// makes the page that every commit writes to, so that it need not.
  void announce_life() noexcept;

  /// Publishes `result`, which lies in cell(number) or result_memory(), and the arrays
  /// from `arrays_begin` on, as the result of call `number`.
  struct Commit {
    wire::WorkerId worker;
    wire::CallNumber number;
    wire::ResultKind kind;
    std::span<const std::byte> result;
    std::uint64_t arrays_begin;  ///< 0: there are none.
    bool is_clean;
  };
  void commit(const Commit& commit) noexcept;

  /// The worker takes call `number`, unless the host has taken it back meanwhile.
  void start(wire::CallNumber number) noexcept;

  /// The function of call `number` is about to be entered.
  void enter(wire::CallNumber number) noexcept;

 private:
  Mapping mapping_;
};

}  // namespace killable::channel
