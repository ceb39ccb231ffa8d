#include <killable/detail/bytes.hpp>

#include <algorithm>
#include <limits>
#include <new>
#include <string>

#include <killable/detail/huge_pages.hpp>
#include <killable/errors.hpp>

namespace killable::detail {

namespace {
constexpr std::size_t kFirstBlock = 512;
}

void HeapSink::grow(std::size_t more) {
  if (more > std::numeric_limits<std::size_t>::max() / 2 - size_) throw std::bad_alloc();
  const std::size_t capacity = std::max({kFirstBlock, capacity_ * 2, size_ + more});
  const std::align_val_t alignment = huge_page_alignment(capacity);
  std::unique_ptr<std::byte, Delete> block(
      static_cast<std::byte*>(::operator new(capacity, alignment)), Delete{alignment});
  prefer_huge_pages(block.get(), size_ + more);
  if (size_ != 0) std::memcpy(block.get(), data_, size_);
  block_ = std::move(block);
  data_ = block_.get();
  capacity_ = capacity;
}

void FixedSink::grow(std::size_t more) {
  throw LimitExceeded("cannot encode " + std::to_string(size_ + more) +
                      " bytes: the limit is " + std::to_string(capacity_));
}

void Source::fail_short(std::size_t size) const {
  throw CodecError("cannot decode: " + std::to_string(size) + " bytes wanted at offset " +
                   std::to_string(position_) + " of " + std::to_string(bytes_.size()));
}

void Source::fail_budget(std::uint64_t count, std::uint64_t size) const {
  throw CodecError("cannot decode: " + std::to_string(count) + " elements of " +
                   std::to_string(size) + " bytes exceed the memory budget of " +
                   std::to_string(memory_budget_) + " bytes left");
}

void Source::fail_probes() {
  throw CodecError("cannot decode a hash table: too many of its keys collide");
}

void Nested::fail_depth() {
  throw CodecError("cannot encode or decode a value nested deeper than " +
                   std::to_string(kMaxDepth));
}

}  // namespace killable::detail
