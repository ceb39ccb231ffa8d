#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <killable/detail/bytes.hpp>
#include <killable/detail/shared_memory.hpp>

#include "channel/slot.hpp"

namespace killable::worker {

/// How the memory of a slot is shared out between the result, which grows from the
/// beginning, and the arrays that the function makes, from the end downwards:
///
///   0        4096     floor      lowest                     end
///   | header | result |   free   | array | free | array ... |
///
/// Together they take max_result_bytes at most, arrays in whole pages. What this knows of
/// them is in the worker's private memory. Thread-safe. Outlives every array.
class SlotSpace {
 public:
  /// `reach`: that of the calls before in the same slot; `owner`: this process.
  SlotSpace(std::span<std::byte> slot, std::uint64_t max_result_bytes,
            std::uint64_t reach, pid_t owner);

  /// An array of zeros, whose pages go back when it does. In a process that the worker
  /// has forked it is that process's own: what this knows is the worker's.
  /// Throws LimitExceeded.
  detail::MemoryPtr make_array(std::uint64_t bytes);

  /// Where `memory` lies in the slot, to stay there for the host, whoever drops it; empty
  /// if it is no array of this.
  std::optional<std::uint64_t> keep(const detail::SharedMemory& memory);

  /// Whether anybody holds an array of this.
  bool has_arrays() const;

  /// How far results may have been written: from there on the slot is zero, but for
  /// arrays.
  std::uint64_t reach() const;

  /// Where the first array begins; 0 if none was kept.
  std::uint64_t arrays_begin() const;

  /// Takes room for a result of `bytes`, and some more where there is some. Returns how
  /// much it has now. Throws LimitExceeded.
  std::size_t grow_result(std::size_t bytes);

 private:
  struct Array;

  std::optional<std::uint64_t> take(std::uint64_t size);
  std::uint64_t room() const noexcept;
  void clear(std::uint64_t begin, std::uint64_t size) noexcept;
  void give_back(std::uint64_t begin, std::uint64_t size) noexcept;
  void add_free(std::uint64_t begin, std::uint64_t end) noexcept;
  std::string limit_text() const;

  const std::span<std::byte> slot_;
  const std::uint64_t max_bytes_;
  const std::uint64_t earlier_reach_;
  const pid_t owner_;
  mutable std::mutex mutex_;
  std::uint64_t result_bytes_ = 0;
  std::uint64_t arrays_bytes_ = 0;
  std::uint64_t lowest_;
  std::map<std::uint64_t, std::uint64_t> free_;  ///< Begin and end, above lowest_.
  std::set<std::uint64_t> kept_;                 ///< Begin of each.
};

/// The result in such a slot.
class ResultSink final : public detail::Sink {
 public:
  ResultSink(channel::WorkerSlot& slot, std::span<std::byte> cell, SlotSpace& space)
      : Sink(cell.data(), 0), slot_(slot), cell_(cell), space_(space) {}

 private:
  void grow(std::size_t more) override;

  channel::WorkerSlot& slot_;
  const std::span<std::byte> cell_;
  SlotSpace& space_;
};

/// What a call in a worker has beside its bytes: the arrays that were passed to it, and
/// those that it made.
class WorkerMemory final : public detail::Attachments {
 public:
  explicit WorkerMemory(SlotSpace& space) : space_(space) {}

  void pass(std::vector<detail::MemoryPtr> memory) {
    passed_ = detail::CallMemory(std::move(memory));
  }

  detail::MemoryRef refer_to(const detail::MemoryPtr& memory) override;
  detail::MemoryPtr resolve(const detail::MemoryRef& ref,
                            std::uint64_t bytes) const override;

 private:
  detail::CallMemory passed_;
  SlotSpace& space_;
};

}  // namespace killable::worker
