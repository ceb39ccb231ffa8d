#pragma once

#include <cstddef>

namespace killable::detail {

/// Asks for huge pages under `bytes` of private memory at `memory`, all of which are
/// about to be written. Fresh memory costs seven times the copy into it otherwise.
/// Nothing happens, and no system call is made, unless whole huge pages of 2 MiB lie in
/// there.
void prefer_huge_pages(void* memory, std::size_t bytes) noexcept;

}  // namespace killable::detail
