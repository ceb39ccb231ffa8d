#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

/// The memory under the SharedArrays of a process, and how the bytes of a call or a
/// result name memory that does not lie in them:
///
///   shared array = 0:u8 index:u32 count:u64      the index-th memory attached to the call
///                | 1:u8 offset:u64 count:u64     in the slot, from the slot's beginning
///                | 2:u8                          no elements, no memory
///
/// A hostile worker can write any of these into its result. The host takes an index or an
/// offset only as far as it fits: the memory is one that the host attached itself, or
/// lies among the slot's arrays, all of which the host has mapped from a file of its own.
namespace killable::detail {

class Sink;
class Source;

/// Some memory. Who makes one derives from it what owns mapping and descriptor; these go
/// with the last MemoryPtr.
struct SharedMemory {
  std::span<std::byte> bytes;
  int memfd = -1;            ///< By which it can be handed on; -1: it cannot.
  std::uint64_t offset = 0;  ///< Where it begins in the memfd.
};
using MemoryPtr = std::shared_ptr<const SharedMemory>;

/// Zero-filled memory of `bytes`, more than none. In a worker's function it lies in the
/// worker's slot. Throws std::system_error; LimitExceeded where the slot has no room.
MemoryPtr make_memory(std::uint64_t bytes);

/// How encoded bytes name memory.
struct MemoryRef {
  enum class Kind : std::uint8_t { attached, in_slot, none };
  Kind kind;
  std::uint64_t at;  ///< Index or offset.
};

/// What a Sink or Source of a call has beside its bytes, for the SharedArrays in them.
class Attachments {
 public:
  /// Names `memory` for the other side. Throws CodecError if that will not have it.
  virtual MemoryRef refer_to(const MemoryPtr& memory) = 0;
  /// The memory of `bytes` that was named. Throws CodecError if there is none.
  virtual MemoryPtr resolve(const MemoryRef& ref, std::uint64_t bytes) const = 0;

 protected:
  ~Attachments() = default;
};

/// The memory of one call: what is attached to it, each once, and the worker's arrays.
/// Not thread-safe, but to resolve().
class CallMemory final : public Attachments {
 public:
  /// More is refused: each takes a descriptor on its way to the worker.
  static constexpr std::size_t kMaxAttached = 64;

  CallMemory() = default;
  explicit CallMemory(std::vector<MemoryPtr> attached) : attached_(std::move(attached)) {}

  /// Attaches `memory` unless it is attached already.
  MemoryRef refer_to(const MemoryPtr& memory) override;
  MemoryPtr resolve(const MemoryRef& ref, std::uint64_t bytes) const override;

  std::optional<std::uint64_t> index_of(const SharedMemory& memory) const noexcept;
  std::span<const MemoryPtr> attached() const noexcept { return attached_; }

  /// From here on there are these, all in one, which begin at their offset in the slot.
  /// Only the first counts: others may be in use.
  void set_slot_arrays(MemoryPtr arrays) noexcept {
    if (arrays && !slot_arrays_) slot_arrays_ = std::move(arrays);
  }

 private:
  MemoryPtr resolve_in_slot(std::uint64_t offset, std::uint64_t bytes) const;

  std::vector<MemoryPtr> attached_;
  MemoryPtr slot_arrays_;
};

/// Writes how the other side finds `memory`, null for none, which has `count` elements.
void encode_memory(Sink& sink, const MemoryPtr& memory, std::uint64_t count);

/// The memory of some elements of `element_size`; null if there are none.
MemoryPtr decode_memory(Source& source, std::size_t element_size);

}  // namespace killable::detail
