#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/sanitizers.hpp"
#include "support/session_processes.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;

class LongRun : public NothingIsLeft {};

void value_call() {
  EXPECT_EQ(call([](int n) { return n + 1; }, 6), 7);
}

void throwing_call() {
  EXPECT_THROW(call([] { throw std::out_of_range("far"); }), std::out_of_range);
}

void crashing_call() {
  EXPECT_THROW(call([] { ::raise(SIGKILL); }), WorkerCrashed);
}

void killed_call() {
  KillableThread thread(sleep_for_ever);
  thread.start();
  thread.kill();
  EXPECT_THROW(thread.getResult(), Killed);
}

void mixed_calls(int count) {
  for (int i = 0; i < count; i += 4) {
    value_call();
    throwing_call();
    crashing_call();
    killed_call();
  }
}

/// Memory of `process` that is its own, in bytes. See proc(5), RssAnon.
std::size_t private_bytes(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string word; status >> word;)
    if (std::size_t kilobytes = 0; word == "RssAnon:" && status >> kilobytes)
      return kilobytes * 1024;
  ADD_FAILURE() << "no RssAnon of " << process;
  return 0;
}

/// What the host's malloc(3) has given out.
std::size_t allocated_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

/// The processes that `process` has not reaped.
std::size_t count_zombies(pid_t process) {
  std::ifstream children("/proc/" + std::to_string(process) + "/task/" +
                         std::to_string(process) + "/children");
  std::size_t zombies = 0;
  for (pid_t child = 0; children >> child;)
    if (process_state(child) == 'Z') ++zombies;
  return zombies;
}

TEST_F(LongRun, TenThousandMixedCallsTakeNoMoreThanTheFirstHundred) {
  // Ten bytes for each call: one lost list node of any of them is more.
  constexpr std::size_t kSlack = 100'000;
  const SessionProcesses session = the_session();
  mixed_calls(100);
  const std::size_t allocated = allocated_bytes();
  const std::size_t host = private_bytes(::getpid());
  const std::size_t fork_server = private_bytes(session.fork_server);
  const std::size_t guard = private_bytes(session.guard);
  mixed_calls(repetitions(10'000));
  EXPECT_EQ(the_session(), session);
  if (!kFreedMemoryIsGivenBack) return;
  EXPECT_LE(allocated_bytes(), allocated + kSlack);
  EXPECT_LE(private_bytes(::getpid()), host + kSlack);
  EXPECT_LE(private_bytes(session.fork_server), fork_server + kSlack);
  EXPECT_LE(private_bytes(session.guard), guard + kSlack);
  // Descriptors, mappings, processes: the fixture counts them.
}

TEST_F(LongRun, NoZombieStaysAlsoIfNobodyCallsAgain) {
  const SessionProcesses session = the_session();
  std::vector<KillableThread<void>> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([] {});
    threads.emplace_back([] { ::raise(SIGKILL); });
    threads.emplace_back([] { std::_Exit(3); });
    threads.emplace_back(sleep_for_ever);
  }
  for (auto& thread : threads) thread.start();
  for (auto& thread : threads) thread.kill();
  // From here on the host does nothing.
  const auto are_gone = [&] {
    for (const auto& thread : threads)
      if (process_state(thread.get_id()) != 0) return false;
    return true;
  };
  EXPECT_TRUE(eventually(are_gone));
  EXPECT_EQ(count_zombies(session.fork_server), 0u);
  EXPECT_EQ(count_zombies(session.guard), 0u);
  EXPECT_EQ(count_zombies(::getpid()), 0u);
}

}  // namespace
}  // namespace killable::test
