#pragma once

#include <cstdint>

namespace killable::wire {

/// The next multiple of `alignment`, or `bytes` where that is one.
constexpr std::uint64_t rounded_up(std::uint64_t bytes,
                                   std::uint64_t alignment) noexcept {
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace killable::wire
