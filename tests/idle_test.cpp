#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "support/fixture.hpp"
#include "support/processes.hpp"
#include "support/sanitizers.hpp"
#include "support/sleeping_thread.hpp"

/// What the library does while there is nothing to do.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Idle : public NothingIsLeft {};

/// What the threads of a process have done so far.
struct Activity {
  std::uint64_t waits = 0;          ///< See proc(5), /proc/pid/status.
  std::chrono::nanoseconds run{0};  ///< /proc/pid/schedstat
};

Activity activity_of(pid_t process) {
  Activity activity;
  for (const auto& thread : std::filesystem::directory_iterator(
           "/proc/" + std::to_string(process) + "/task")) {
    std::ifstream status(thread.path() / "status");
    for (std::string word; status >> word;)
      if (std::uint64_t count = 0; word == "voluntary_ctxt_switches:" && status >> count)
        activity.waits += count;
    std::int64_t run = 0;
    std::ifstream(thread.path() / "schedstat") >> run;
    activity.run += std::chrono::nanoseconds(run);
  }
  return activity;
}

std::map<pid_t, Activity> activities() {
  std::map<pid_t, Activity> all{{::getpid(), activity_of(::getpid())}};
  for (const Process& process : other_processes())
    all.emplace(process.pid, activity_of(process.pid));
  return all;
}

/// Expects that for a second none of `processes` is woken, and none runs.
void expect_a_quiet_second(std::size_t processes) {
  std::this_thread::sleep_for(100ms);  // What has just been started may still be at it.
  const std::map<pid_t, Activity> before = activities();
  EXPECT_GE(before.size(), processes);
  std::this_thread::sleep_for(1s);
  // A thread of ThreadSanitizer's own wakes ten times a second.
  const std::uint64_t few = kThreadSanitizer ? 100 : 5;
  for (const auto& [process, activity] : activities()) {
    EXPECT_LE(activity.waits, before.at(process).waits + few) << process;
    EXPECT_LE(activity.run, before.at(process).run + 300ms) << process;
  }
}

TEST_F(Idle, HostGuardForkServerSparesAndAPoolAreNotWoken) {
  ProcessPool pool({.workers = 1});
  pool.submit([] {}).getResult();
  KillableThread sleeping([] { ::pause(); });
  sleeping.start();
  warm_up();
  // A worker of the pool, and the one that sleeps; host, guard, fork server, two spares.
  expect_a_quiet_second(7);
}

TEST_F(Idle, WhoWaitsForALongCallOfAPoolLetsThePoolSleep) {
  ProcessPool pool({.workers = 1, .call = {.timeout = 1h}});
  auto call = pool.submit([] { ::pause(); });
  // After this nobody watches the call any more.
  EXPECT_EQ(wait_any(std::span(&call, 1), 1ms), std::nullopt);
  {
    const SleepingThread waiter([&] { EXPECT_THROW(call.getResult(), Killed); });
    warm_up();
    expect_a_quiet_second(6);
    call.kill(0ms);
  }
}

}  // namespace
}  // namespace killable::test
