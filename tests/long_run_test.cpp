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

/// The same calls with workers of their own and in a pool.
struct Fresh {
  template <class F, class... Args>
  auto operator()(F function, Args... args) const {
    KillableThread thread(function, args...);
    thread.start();
    return thread;
  }
};

struct Pooled {
  ProcessPool& pool;

  template <class F, class... Args>
  auto operator()(F function, Args... args) const {
    return pool.submit(function, args...);
  }
};

void each_kind(const auto& start) {
  EXPECT_EQ(start([](int n) { return n + 1; }, 6).getResult(), 7);
  EXPECT_THROW(start([] { throw std::out_of_range("far"); }).getResult(),
               std::out_of_range);
  EXPECT_THROW(start([] { ::raise(SIGKILL); }).getResult(), WorkerCrashed);
  auto killed = start(sleep_for_ever);
  killed.kill();
  EXPECT_THROW(killed.getResult(), Killed);
}

void mixed_calls(int count, ProcessPool& pool) {
  for (int i = 0; i < count; i += 8) {
    each_kind(Fresh());
    each_kind(Pooled{pool});
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
  ProcessPool pool({.workers = 2});
  mixed_calls(100, pool);
  const std::size_t allocated = allocated_bytes();
  const std::size_t host = private_bytes(::getpid());
  const std::size_t fork_server = private_bytes(session.fork_server);
  const std::size_t guard = private_bytes(session.guard);
  mixed_calls(repetitions(10'000), pool);
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
