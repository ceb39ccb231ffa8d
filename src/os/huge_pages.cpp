#include "os/huge_pages.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

namespace killable::os {

namespace {

/// Of Linux 6.1: younger than the headers of some distributions. See madvise(2).
constexpr int kMadvCollapse = 25;

/// At a time, since a SIGKILL waits for the system call to end.
constexpr std::size_t kAtATime = 16 * kHugePageBytes;

std::size_t bytes_to_next(const std::byte* address) noexcept {
  return -reinterpret_cast<std::uintptr_t>(address) & (kHugePageBytes - 1);
}

/// The whole ones in `memory`.
std::span<std::byte> huge_pages_of(std::span<std::byte> memory) noexcept {
  const std::size_t before = bytes_to_next(memory.data());
  if (memory.size() < before + kHugePageBytes) return {};
  const std::size_t count = (memory.size() - before) / kHugePageBytes;
  return memory.subspan(before, count * kHugePageBytes);
}

/// The kernel collapses no huge page of which nothing is there. See collapse_file() in
/// Linux's mm/khugepaged.c, SCAN_TRUNCATED.
void touch_each(std::span<const std::byte> pages) noexcept {
  for (std::size_t at = 0; at != pages.size(); at += kHugePageBytes)
    static_cast<void>(*static_cast<const volatile std::byte*>(&pages[at]));
}

}  // namespace

HugeView::HugeView(std::span<std::byte> shared) noexcept {
  const std::size_t size = shared.size() + kHugePageBytes;
  void* const address = ::mmap(nullptr, size, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) return;
  reserved_ = {static_cast<std::byte*>(address), size};
  std::byte* const begin = reserved_.data() + bytes_to_next(reserved_.data());
  if (::mremap(shared.data(), 0, shared.size(), MREMAP_MAYMOVE | MREMAP_FIXED, begin) !=
      MAP_FAILED)
    bytes_ = {begin, shared.size()};
}

// All that was reserved goes at once, with what lies on either side of the view: nobody
// else can have come to lie there.
HugeView::~HugeView() {
  if (!reserved_.empty()) ::munmap(reserved_.data(), reserved_.size());
}

void make_huge(std::span<std::byte> memory) noexcept {
  std::span<std::byte> left = huge_pages_of(memory);
  while (!left.empty()) {
    const std::span<std::byte> next = left.first(std::min(left.size(), kAtATime));
    touch_each(next);
    if (::madvise(next.data(), next.size(), kMadvCollapse) == -1) return;
    left = left.subspan(next.size());
  }
}

void prefer_huge(std::span<std::byte> memory) noexcept {
  const std::span<std::byte> pages = huge_pages_of(memory);
  if (!pages.empty()) ::madvise(pages.data(), pages.size(), MADV_HUGEPAGE);
}

}  // namespace killable::os
