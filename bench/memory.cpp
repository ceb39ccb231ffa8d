// What guard, fork server and spares hold, and what the library adds to its host.

#include <killable/killable.hpp>

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "memory.hpp"
#include "parent_of.hpp"

namespace killable::bench {

namespace {

using namespace std::chrono_literals;

/// See proc(5), /proc/pid/smaps_rollup.
Memory memory_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/smaps_rollup");
  Memory memory;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string key;
    std::size_t kb = 0;
    fields >> key >> kb;
    if (key == "Rss:") memory.rss_kb = kb;
    if (key == "Pss:") memory.pss_kb = kb;
    if (key == "Private_Dirty:") memory.private_kb = kb;
  }
  return memory;
}

std::vector<pid_t> children_of(pid_t process) {
  const std::string pid = std::to_string(process);
  std::ifstream file("/proc/" + pid + "/task/" + pid + "/children");
  std::vector<pid_t> children;
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

int nothing() { return 0; }

/// What the first call adds to its host, in KB of resident memory: in a worker, since
/// this process has made many.
std::size_t added_to_host() {
  const std::size_t before = memory_of(::getpid()).rss_kb;
  call(nothing);
  return memory_of(::getpid()).rss_kb - before;
}

}  // namespace

Memory& Memory::operator+=(const Memory& other) {
  rss_kb += other.rss_kb;
  pss_kb += other.pss_kb;
  private_kb += other.private_kb;
  return *this;
}

std::map<std::string, Memory> measure_memory() {
  warm_up();
  call(nothing);
  KillableThread running([] { std::this_thread::sleep_for(1h); });
  running.start();
  warm_up();  // the spares that these two calls have taken are there again
  std::this_thread::sleep_for(50ms);
  const pid_t fork_server = parent_of(running.get_id());
  std::map<std::string, Memory> rows{{"fork server", memory_of(fork_server)}};
  int spares = 0;
  for (const pid_t child : children_of(fork_server))
    if (child != running.get_id())
      rows["spare " + std::to_string(++spares)] = memory_of(child);
  const std::size_t added = call(added_to_host);
  rows["added to the host by a call"] = {.rss_kb = added, .pss_kb = added};
  Memory all;
  for (const auto& [what, memory] : rows) all += memory;
  rows["all of these"] = all;
  rows["guard"] = memory_of(parent_of(fork_server));
  return rows;
}

}  // namespace killable::bench
