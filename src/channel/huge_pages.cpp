#include <killable/detail/huge_pages.hpp>

#include "os/huge_pages.hpp"

namespace killable::detail {

void prefer_huge_pages(void* memory, std::size_t bytes) noexcept {
  os::prefer_huge({static_cast<std::byte*>(memory), bytes});
}

}  // namespace killable::detail
