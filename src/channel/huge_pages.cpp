#include <killable/detail/huge_pages.hpp>

#include <algorithm>
#include <limits>
#include <new>

#include <killable/detail/bytes.hpp>

#include "os/huge_pages.hpp"

/// Where encoded and decoded values lie in huge pages, if they are large.
namespace killable::detail {

namespace {

constexpr std::size_t kFirstBlock = 512;

/// Where a block of `bytes` is to begin, so that no huge page lies in it in part.
std::align_val_t alignment_of(std::size_t bytes) noexcept {
  return std::align_val_t{bytes < os::kHugePageBytes ? __STDCPP_DEFAULT_NEW_ALIGNMENT__
                                                     : os::kHugePageBytes};
}

}  // namespace

void prefer_huge_pages(void* memory, std::size_t bytes) noexcept {
  os::prefer_huge({static_cast<std::byte*>(memory), bytes});
}

void HeapSink::grow(std::size_t more) {
  if (more > std::numeric_limits<std::size_t>::max() / 2 - size_) throw std::bad_alloc();
  const std::size_t capacity = std::max({kFirstBlock, capacity_ * 2, size_ + more});
  const std::align_val_t alignment = alignment_of(capacity);
  std::unique_ptr<std::byte, Delete> block(
      static_cast<std::byte*>(::operator new(capacity, alignment)), Delete{alignment});
  prefer_huge_pages(block.get(), size_ + more);
  if (size_ != 0) std::memcpy(block.get(), data_, size_);
  block_ = std::move(block);
  data_ = block_.get();
  capacity_ = capacity;
}

}  // namespace killable::detail
