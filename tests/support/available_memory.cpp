#include "support/available_memory.hpp"

#include <fstream>
#include <string>
#include <string_view>

namespace killable::test {

std::uint64_t available_memory() {
  constexpr std::string_view kHeading = "MemAvailable:";
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);)
    if (line.starts_with(kHeading))
      return std::stoull(line.substr(kHeading.size())) * 1024;
  return 0;
}

}  // namespace killable::test
