#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace killable::bench {

struct Memory {
  std::size_t rss_kb = 0;
  std::size_t pss_kb = 0;      ///< Shared pages count in parts.
  std::size_t private_kb = 0;  ///< Dirty pages of its own.

  Memory& operator+=(const Memory& other);
};

/// What the processes of the library hold, what it adds to its host, and the sum, without
/// the guard.
std::map<std::string, Memory> measure_memory();

}  // namespace killable::bench
