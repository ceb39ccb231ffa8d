#include <killable/detail/huge_pages.hpp>

#include "os/huge_pages.hpp"

namespace killable::detail {

void prefer_huge_pages(void* memory, std::size_t bytes) noexcept {
  os::prefer_huge({static_cast<std::byte*>(memory), bytes});
}

std::align_val_t huge_page_alignment(std::size_t bytes) noexcept {
  return std::align_val_t{bytes < os::kHugePageBytes ? __STDCPP_DEFAULT_NEW_ALIGNMENT__
                                                     : os::kHugePageBytes};
}

}  // namespace killable::detail
