// What guard, fork server and spares hold, and what the library adds to its host.

#include <killable/killable.hpp>

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "samples.hpp"

namespace killable::bench {

namespace {

using namespace std::chrono_literals;

struct Memory {
  std::size_t rss_kb = 0;
  std::size_t pss_kb = 0;      ///< Shared pages count in parts.
  std::size_t private_kb = 0;  ///< Dirty pages of its own.

  Memory& operator+=(const Memory& other) {
    rss_kb += other.rss_kb;
    pss_kb += other.pss_kb;
    private_kb += other.private_kb;
    return *this;
  }
};

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

pid_t parent_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(line.rfind(')') + 2));
  char state = 0;
  pid_t parent = 0;
  fields >> state >> parent;
  return parent;
}

std::vector<pid_t> children_of(pid_t process) {
  const std::string pid = std::to_string(process);
  std::ifstream file("/proc/" + pid + "/task/" + pid + "/children");
  std::vector<pid_t> children;
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

void print(const char* what, const Memory& memory) {
  std::printf("%-34s %8.2f %8.2f %14.2f\n", what, double(memory.rss_kb) / 1024,
              double(memory.pss_kb) / 1024, double(memory.private_kb) / 1024);
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

void print_memory() {
  warm_up();
  call(nothing);
  KillableThread running([] { std::this_thread::sleep_for(1h); });
  running.start();
  warm_up();  // the spares that these two calls have taken are there again
  std::this_thread::sleep_for(50ms);
  const pid_t fork_server = parent_of(running.get_id());
  Memory all;
  std::printf("\n%-34s %8s %8s %14s\n", "memory, MB", "RSS", "PSS", "private dirty");
  const auto count = [&](const char* what, pid_t process) {
    const Memory memory = memory_of(process);
    print(what, memory);
    all += memory;
  };
  count("guard", parent_of(fork_server));
  count("fork server", fork_server);
  for (const pid_t child : children_of(fork_server))
    if (child != running.get_id()) count("spare", child);
  const std::size_t added = call(added_to_host);
  print("added to the host by a call", {.rss_kb = added, .pss_kb = added});
  all += {.rss_kb = added, .pss_kb = added};
  print("all of these; target: 16", all);
}

}  // namespace killable::bench
