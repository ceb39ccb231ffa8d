#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "support/fixture.hpp"
#include "support/processes.hpp"
#include "support/sanitizers.hpp"

/// What the library does while there is nothing to do.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Idle : public NothingIsLeft {};

/// How often the threads of `process` have waited. See proc(5), /proc/pid/status.
std::uint64_t waits_of(pid_t process) {
  std::uint64_t waits = 0;
  for (const auto& thread : std::filesystem::directory_iterator(
           "/proc/" + std::to_string(process) + "/task")) {
    std::ifstream status(thread.path() / "status");
    for (std::string word; status >> word;)
      if (std::uint64_t count = 0; word == "voluntary_ctxt_switches:" && status >> count)
        waits += count;
  }
  return waits;
}

std::map<pid_t, std::uint64_t> waits_of_all() {
  std::map<pid_t, std::uint64_t> waits{{::getpid(), waits_of(::getpid())}};
  for (const Process& process : other_processes())
    waits.emplace(process.pid, waits_of(process.pid));
  return waits;
}

TEST_F(Idle, HostGuardForkServerSparesAndAPoolAreNotWoken) {
  ProcessPool pool({.workers = 1});
  pool.submit([] {}).getResult();
  KillableThread sleeping([] { ::pause(); });
  sleeping.start();
  warm_up();
  std::this_thread::sleep_for(100ms);  // What has just been started may still be at it.
  const std::map<pid_t, std::uint64_t> before = waits_of_all();
  EXPECT_GE(before.size(), 7u);  // and a worker of the pool, and the one that sleeps
  std::this_thread::sleep_for(1s);
  // A thread of ThreadSanitizer's own wakes ten times a second.
  const std::uint64_t few = kThreadSanitizer ? 100 : 5;
  for (const auto& [process, waits] : waits_of_all())
    EXPECT_LE(waits, before.at(process) + few) << process;
}

}  // namespace
}  // namespace killable::test
