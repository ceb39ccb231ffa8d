#include "worker/slot_space.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include <killable/detail/exception.hpp>
#include <killable/errors.hpp>

#include "channel/shared_memory.hpp"
#include "wire/alignment.hpp"
#include "wire/slot_format.hpp"

namespace killable::worker {

namespace {

/// The result's first room. Most need no more.
constexpr std::uint64_t kFirstResultBytes = std::uint64_t{64} << 10;

constexpr std::uint64_t in_whole_pages(std::uint64_t bytes) {
  return wire::rounded_up(bytes, wire::kArrayAlignment);
}

}  // namespace

/// What the function holds of one array.
struct SlotSpace::Array : detail::SharedMemory {
  explicit Array(SlotSpace& of) : space(of) {}
  ~Array() {
    if (size != 0) space.give_back(begin, size);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  SlotSpace& space;
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
};

SlotSpace::SlotSpace(std::span<std::byte> slot, std::uint64_t max_result_bytes,
                     std::uint64_t reach, pid_t owner)
    : slot_(slot),
      max_bytes_(max_result_bytes),
      earlier_reach_(reach),
      owner_(owner),
      lowest_(slot.size()) {}

detail::MemoryPtr SlotSpace::make_array(std::uint64_t bytes) {
  if (::getpid() != owner_) return channel::make_memory(bytes);
  const std::uint64_t size = in_whole_pages(bytes);
  const auto array = std::make_shared<Array>(*this);
  const std::lock_guard lock(mutex_);
  const std::optional<std::uint64_t> begin = take(size);
  if (!begin)
    throw LimitExceeded("cannot make a SharedArray of " + std::to_string(bytes) +
                        " bytes: " + limit_text());
  arrays_bytes_ += size;
  array->begin = *begin;
  array->size = size;
  array->bytes = slot_.subspan(*begin, bytes);
  return array;
}

/// First fit, from above: what is dropped is taken again before the slot is taken on.
std::optional<std::uint64_t> SlotSpace::take(std::uint64_t size) {
  if (size > max_bytes_ - result_bytes_ - arrays_bytes_) return std::nullopt;
  for (auto block = free_.begin(); block != free_.end(); ++block) {
    auto& [begin, end] = *block;
    if (end - begin < size) continue;
    end -= size;
    const std::uint64_t taken = end;
    if (begin == end) free_.erase(block);
    return taken;
  }
  if (size > room()) return std::nullopt;
  lowest_ -= size;
  if (lowest_ < earlier_reach_)
    clear(lowest_, std::min(size, in_whole_pages(earlier_reach_ - lowest_)));
  return lowest_;
}

/// Below the lowest array. Whatever happens, an exception can be told.
std::uint64_t SlotSpace::room() const noexcept {
  const std::uint64_t floor = in_whole_pages(
      wire::kSlotResultOffset +
      std::max<std::uint64_t>(result_bytes_, detail::kMaxExceptionRecordBytes));
  return lowest_ > floor ? lowest_ - floor : 0;
}

void SlotSpace::give_back(std::uint64_t begin, std::uint64_t size) noexcept {
  // A process that the worker forked has copies of the handles. The arrays are the
  // worker's, and so is the lock, which may be taken for ever here.
  if (::getpid() != owner_) return;
  const std::lock_guard lock(mutex_);
  if (kept_.contains(begin)) return;
  clear(begin, size);
  arrays_bytes_ -= size;
  add_free(begin, begin + size);
}

/// Returns the pages, and makes the zeros that the next array begins with.
void SlotSpace::clear(std::uint64_t begin, std::uint64_t size) noexcept {
  std::byte* const memory = slot_.data() + begin;
  if (::madvise(memory, size, MADV_REMOVE) == -1) std::memset(memory, 0, size);
}

/// Joins what lies side by side, so that large arrays fit again.
void SlotSpace::add_free(std::uint64_t begin, std::uint64_t end) noexcept {
  const auto after = free_.find(end);
  if (after != free_.end()) {
    end = after->second;
    free_.erase(after);
  }
  const auto next = free_.lower_bound(begin);
  if (begin == lowest_) {
    lowest_ = end;
  } else if (next != free_.begin() && std::prev(next)->second == begin) {
    std::prev(next)->second = end;
  } else {
    try {
      free_.emplace(begin, end);
    } catch (const std::bad_alloc&) {
      // Nobody gets these pages again. They are empty.
    }
  }
}

std::optional<std::uint64_t> SlotSpace::keep(const detail::SharedMemory& memory) {
  const std::byte* const begin = memory.bytes.data();
  if (begin < slot_.data() || begin >= slot_.data() + slot_.size()) return std::nullopt;
  const auto offset = static_cast<std::uint64_t>(begin - slot_.data());
  const std::lock_guard lock(mutex_);
  kept_.insert(offset);
  return offset;
}

bool SlotSpace::has_arrays() const {
  const std::lock_guard lock(mutex_);
  return arrays_bytes_ != 0;
}

std::uint64_t SlotSpace::reach() const {
  const std::lock_guard lock(mutex_);
  return std::max(earlier_reach_, wire::kSlotResultOffset + result_bytes_);
}

std::uint64_t SlotSpace::arrays_begin() const {
  const std::lock_guard lock(mutex_);
  return kept_.empty() ? 0 : *kept_.begin();
}

std::size_t SlotSpace::grow_result(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t most =
      std::min(max_bytes_ - arrays_bytes_, lowest_ - wire::kSlotResultOffset);
  if (bytes > most)
    throw LimitExceeded("cannot encode " + std::to_string(bytes) +
                        " bytes: " + limit_text());
  result_bytes_ = std::min(
      std::max({std::uint64_t{bytes}, 2 * result_bytes_, kFirstResultBytes}), most);
  return result_bytes_;
}

void ResultSink::grow(std::size_t more) {
  const std::size_t capacity = space_.grow_result(size_ + more);
  if (size_ + more <= cell_.size()) {
    capacity_ = std::min(capacity, cell_.size());
    return;
  }
  capacity_ = capacity;
  const std::span<std::byte> memory = slot_.memory_for(size_, more);
  if (data_ == cell_.data()) std::ranges::copy(bytes(), memory.begin());
  data_ = memory.data();
}

std::string SlotSpace::limit_text() const {
  std::string text =
      "the limit is max_result_bytes, " + std::to_string(max_bytes_) + " bytes";
  if (arrays_bytes_ != 0)
    text += ", of which SharedArrays take " + std::to_string(arrays_bytes_);
  return text;
}

detail::MemoryRef WorkerMemory::refer_to(const detail::MemoryPtr& memory) {
  using Kind = detail::MemoryRef::Kind;
  if (const auto index = passed_.index_of(*memory))
    return {.kind = Kind::attached, .at = *index};
  if (const auto offset = space_.keep(*memory))
    return {.kind = Kind::in_slot, .at = *offset};
  throw CodecError(
      "cannot return a SharedArray that this call neither made nor was passed");
}

detail::MemoryPtr WorkerMemory::resolve(const detail::MemoryRef& ref,
                                        std::uint64_t bytes) const {
  return passed_.resolve(ref, bytes);
}

}  // namespace killable::worker
