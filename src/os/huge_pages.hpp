#pragma once

#include <cstddef>
#include <span>
#include <utility>

/// Fresh memory costs several times what writing to it does: a fault for each page of
/// 4 KiB. In huge pages it takes a fault for each 2 MiB. All of this is advice: where the
/// kernel cannot follow it, memory is the same in ordinary pages.
namespace killable::os {

/// Of one on x86-64, and on arm64 with pages of 4 KiB. Where one is larger, the kernel
/// takes the whole ones in what it is asked for, if any.
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

/// A second mapping of memory that is shared, at an address where its huge pages can be
/// mapped as such: a multiple of their size, as its offset in the file is. Unmapped when
/// its owner goes. Needs no descriptor. See mremap(2), an old_size of 0.
class HugeView {
 public:
  /// Of `shared`, a mapping from the beginning of its file; of nothing where it has no
  /// room.
  explicit HugeView(std::span<std::byte> shared) noexcept;
  HugeView(HugeView&& other) noexcept
      : reserved_(std::exchange(other.reserved_, {})),
        bytes_(std::exchange(other.bytes_, {})) {}
  HugeView& operator=(HugeView&&) = delete;
  ~HugeView();

  std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<std::byte> reserved_;
  std::span<std::byte> bytes_;
};

/// Puts the whole huge pages of address space in `memory`, which a HugeView maps and
/// which is to be written, into huge pages of memory. Keeps what is written there
/// already. Those that are huge cost next to nothing. See: madvise(2), MADV_COLLAPSE,
/// Linux 6.1.
void make_huge(std::span<std::byte> memory) noexcept;

/// Has the first write to each whole huge page in `memory`, which is private, make a huge
/// page. No system call if there is none. See: madvise(2), MADV_HUGEPAGE.
void prefer_huge(std::span<std::byte> memory) noexcept;

}  // namespace killable::os
