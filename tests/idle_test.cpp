#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>

#include "support/fixture.hpp"
#include "support/processes.hpp"

/// What the library does while there is nothing to do.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Idle : public NothingIsLeft {};

/// In clock ticks, of user and system time. See proc(5), /proc/pid/stat.
std::uint64_t processor_time(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(line.rfind(')') + 2));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  fields >> user >> system;
  return user + system;
}

std::map<pid_t, std::uint64_t> processor_times() {
  std::map<pid_t, std::uint64_t> times{{::getpid(), processor_time(::getpid())}};
  for (const Process& process : other_processes())
    times.emplace(process.pid, processor_time(process.pid));
  return times;
}

TEST_F(Idle, HostGuardForkServerSparesAndAPoolUseNoProcessorTime) {
  ProcessPool pool({.workers = 1});
  pool.submit([] {}).getResult();
  KillableThread sleeping([] { ::pause(); });
  sleeping.start();
  warm_up();
  std::this_thread::sleep_for(100ms);  // What has just been started may still be at it.
  const std::map<pid_t, std::uint64_t> before = processor_times();
  EXPECT_GE(before.size(), 7u);  // and a worker of the pool, and the one that sleeps
  std::this_thread::sleep_for(1s);
  for (const auto& [process, ticks] : processor_times())
    // Of a hundred that a process that polls would use up; one may just have been due.
    EXPECT_LE(ticks, before.at(process) + 1) << process;
}

}  // namespace
}  // namespace killable::test
