#include "footprint.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <sstream>
#include <string>

#include "parent_of.hpp"

namespace killable::bench {

namespace {

std::string directory_of(pid_t process) { return "/proc/" + std::to_string(process); }

/// A file of lines such as "Pss:   12 kB".
std::map<std::string, double> read_table(const std::string& path) {
  constexpr auto kLine = std::numeric_limits<std::streamsize>::max();
  std::ifstream file(path);
  std::map<std::string, double> table;
  std::string key;
  // The first line of smaps_rollup is another kind of line, and adds a key that nobody
  // asks for.
  for (; file >> key; file.ignore(kLine, '\n')) {
    double kb = 0;
    if (file >> kb) table[key] = kb;
    file.clear();
  }
  return table;
}

}  // namespace

Footprint footprint_of(pid_t process) {
  namespace fs = std::filesystem;
  auto table = read_table(directory_of(process) + "/smaps_rollup");
  const auto descriptors = std::distance(
      fs::directory_iterator(directory_of(process) + "/fd"), fs::directory_iterator());
  return {.rss_kb = table["Rss:"],
          .pss_kb = table["Pss:"],
          .private_kb = table["Private_Dirty:"],
          .descriptors = static_cast<std::size_t>(descriptors)};
}

std::size_t mappings_of(pid_t process) {
  std::ifstream maps(directory_of(process) + "/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

double kernel_kb() {
  auto table = read_table("/proc/meminfo");
  return table["KernelStack:"] + table["PageTables:"] + table["SUnreclaim:"];
}

std::chrono::nanoseconds processor_time_of(pid_t process) {
  std::ifstream file(directory_of(process) + "/schedstat");
  std::int64_t nanoseconds = 0;
  file >> nanoseconds;
  return std::chrono::nanoseconds(nanoseconds);
}

SessionProcesses session_of(pid_t worker) {
  const pid_t fork_server = parent_of(worker);
  return {.guard = parent_of(fork_server), .fork_server = fork_server};
}

}  // namespace killable::bench
