#include <killable/detail/shared_memory.hpp>

#include <limits>
#include <string>
#include <utility>

#include <killable/detail/bytes.hpp>
#include <killable/errors.hpp>

#include "wire/slot_format.hpp"

namespace killable::detail {

namespace {

using Kind = MemoryRef::Kind;

/// Memory within other memory, which lives as long.
struct PartOfMemory : SharedMemory {
  PartOfMemory(MemoryPtr owner, std::uint64_t begin, std::uint64_t size)
      : SharedMemory{.bytes = owner->bytes.subspan(begin, size),
                     .memfd = owner->memfd,
                     .offset = owner->offset + begin},
        whole(std::move(owner)) {}

  MemoryPtr whole;
};

/// What one of them costs the host, with what the allocator adds.
constexpr std::uint64_t kMemoryCost = sizeof(PartOfMemory) + 64;

[[noreturn]] void fail(const std::string& why) {
  throw CodecError("cannot decode a SharedArray: " + why);
}

/// As it is in the bytes: `at` takes fewer for an index.
std::uint64_t read_at(Source& source, Kind kind) {
  switch (kind) {
    case Kind::attached: return source.get<std::uint32_t>();
    case Kind::in_slot: return source.get<std::uint64_t>();
    case Kind::none: return 0;
  }
  fail("of unknown kind " + std::to_string(static_cast<int>(kind)));
}

}  // namespace

MemoryRef CallMemory::refer_to(const MemoryPtr& memory) {
  if (const auto index = index_of(*memory)) return {.kind = Kind::attached, .at = *index};
  attached_.push_back(memory);
  return {.kind = Kind::attached, .at = attached_.size() - 1};
}

MemoryPtr CallMemory::resolve(const MemoryRef& ref, std::uint64_t bytes) const {
  if (ref.kind == Kind::in_slot) return resolve_in_slot(ref.at, bytes);
  if (ref.at >= attached_.size())
    fail("number " + std::to_string(ref.at) + " of the " +
         std::to_string(attached_.size()) + " that were passed");
  const MemoryPtr& memory = attached_[ref.at];
  if (memory->bytes.size() != bytes)
    fail(std::to_string(bytes) + " bytes instead of the " +
         std::to_string(memory->bytes.size()) + " that were passed");
  return memory;
}

MemoryPtr CallMemory::resolve_in_slot(std::uint64_t offset, std::uint64_t bytes) const {
  const std::string place =
      std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of the slot";
  if (!slot_arrays_) fail(place + ", which has no arrays");
  const std::uint64_t begin = slot_arrays_->offset;
  const std::uint64_t size = slot_arrays_->bytes.size();
  if (offset % wire::kArrayAlignment != 0) fail(place + ", not at a page");
  // Differences, since a sum of hostile numbers could overflow.
  if (offset < begin || offset - begin > size || bytes > size - (offset - begin))
    fail(place + ", beyond its arrays");
  return std::make_shared<PartOfMemory>(slot_arrays_, offset - begin, bytes);
}

std::optional<std::uint64_t> CallMemory::index_of(
    const SharedMemory& memory) const noexcept {
  for (std::size_t i = 0; i != attached_.size(); ++i)
    if (attached_[i]->bytes.data() == memory.bytes.data() &&
        attached_[i]->bytes.size() == memory.bytes.size())
      return i;
  return std::nullopt;
}

void encode_memory(Sink& sink, const MemoryPtr& memory, std::uint64_t count) {
  if (!memory) return sink.put(Kind::none);
  if (sink.attachments() == nullptr)
    throw CodecError(
        "cannot encode a SharedArray here: it crosses as an argument or in a result");
  const MemoryRef ref = sink.attachments()->refer_to(memory);
  sink.put(ref.kind);
  if (ref.kind == Kind::attached)
    sink.put(static_cast<std::uint32_t>(ref.at));
  else
    sink.put(ref.at);
  sink.put(count);
}

MemoryPtr decode_memory(Source& source, std::size_t element_size) {
  const auto kind = source.get<Kind>();
  const MemoryRef ref{.kind = kind, .at = read_at(source, kind)};
  if (kind == Kind::none) return nullptr;
  const auto count = source.get<std::uint64_t>();
  if (source.attachments() == nullptr) fail("not in an argument or a result");
  if (count == 0 || count > std::numeric_limits<std::uint64_t>::max() / element_size)
    fail("of " + std::to_string(count) + " elements");
  source.charge(1, kMemoryCost);
  return source.attachments()->resolve(ref, count * element_size);
}

}  // namespace killable::detail
