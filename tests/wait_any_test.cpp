#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <list>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/ends.hpp"
#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;

class WaitAny : public NothingIsLeft {
 protected:
  /// `count` calls, each of which returns its index once the file of that name is there.
  std::vector<KillableThread<int>> start_waiters(int count) {
    std::vector<KillableThread<int>> threads;
    for (int i = 0; i < count; ++i) {
      threads.emplace_back(
          [](std::string go, int index) {
            while (!std::filesystem::exists(go)) ::usleep(1000);
            return index;
          },
          path(std::to_string(i)), i);
      threads.back().start();
    }
    return threads;
  }
  void release(std::size_t index) { signal_file(path(std::to_string(index))); }
};

TEST_F(WaitAny, ReturnsTheIndexOfTheCallThatEnds) {
  auto threads = start_waiters(5);
  release(3);
  EXPECT_EQ(wait_any(threads), 3u);
  EXPECT_EQ(threads[3].getResult(), 3);
  EXPECT_TRUE(threads[0].is_alive());
}

TEST_F(WaitAny, FindsThemAllOneAfterTheOther) {
  auto threads = start_waiters(5);
  for (const std::size_t next : {4u, 2u, 0u, 1u, 3u}) {
    release(next);
    ASSERT_TRUE(threads[next].join(kWatchdog));
  }
  std::set<int> found;
  while (!threads.empty()) {
    const std::optional<std::size_t> ended = wait_any(threads);
    ASSERT_TRUE(ended.has_value());
    found.insert(threads[*ended].getResult());
    threads.erase(threads.begin() + static_cast<std::ptrdiff_t>(*ended));
  }
  EXPECT_EQ(found, (std::set{0, 1, 2, 3, 4}));
}

TEST_F(WaitAny, ReturnsTheFirstOfThoseThatHaveEnded) {
  auto threads = start_waiters(3);
  release(2);
  release(1);
  EXPECT_TRUE(ends(threads[2]));
  EXPECT_TRUE(ends(threads[1]));
  EXPECT_EQ(wait_any(threads, 0ns), 1u);
  EXPECT_EQ(wait_any(threads), 1u);
}

TEST_F(WaitAny, IsEmptyIfTheTimeoutPassesFirst) {
  const auto threads = start_waiters(3);
  EXPECT_EQ(wait_any(threads, 0ns), std::nullopt);
  EXPECT_EQ(wait_any(threads, -1s), std::nullopt);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(wait_any(threads, 50ms), std::nullopt);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 50ms);
  for (const auto& thread : threads) EXPECT_TRUE(thread.is_alive());
}

TEST_F(WaitAny, OfNothingIsEmptyAtOnce) {
  EXPECT_EQ(wait_any(std::vector<KillableThread<int>>()), std::nullopt);
}

TEST_F(WaitAny, OfACallThatIsNotStartedIsALogicError) {
  auto threads = start_waiters(1);
  threads.emplace_back([] { return 7; });
  EXPECT_THROW(wait_any(threads), std::logic_error);
}

TEST_F(WaitAny, TakesAnyRange) {
  std::list<KillableThread<void>> threads;
  threads.emplace_back(sleep_for_ever).start();
  threads.emplace_back([] {}).start();
  EXPECT_EQ(wait_any(threads), 1u);
}

TEST_F(WaitAny, IsWokenByEveryKindOfEnd) {
  const auto next_to_a_sleeper = [](auto function) {
    std::vector<KillableThread<void>> threads;
    threads.emplace_back(sleep_for_ever).start();
    threads.emplace_back(Options{.timeout = 5s}, function).start();
    EXPECT_EQ(wait_any(threads, kWatchdog), 1u);
    return threads[1].state();
  };
  EXPECT_EQ(next_to_a_sleeper([] { throw 42; }), State::threw);
  EXPECT_EQ(next_to_a_sleeper([] { ::raise(SIGSEGV); }), State::crashed);
  EXPECT_EQ(next_to_a_sleeper([] { ::_exit(3); }), State::exited);
  EXPECT_EQ(next_to_a_sleeper(sleep_for_ever), State::timed_out);
}

TEST_F(WaitAny, IsWokenByAKillFromAnotherThread) {
  std::vector<KillableThread<void>> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(sleep_for_ever).start();
  const std::jthread killer([&] { threads[1].kill(); });
  EXPECT_EQ(wait_any(threads), 1u);
  EXPECT_EQ(threads[1].state(), State::killed);
}

/// Some milliseconds are spent on the memory of a process that has ended.
void fill_memory_and_sleep(std::string ready) {
  const std::vector<char> memory(64'000'000, '\1');
  signal_file(ready);
  sleep_for_ever();
}

TEST_F(WaitAny, FindsACallThatIsKilledAndNotYetReaped) {
  std::vector<KillableThread<void>> threads;
  threads.emplace_back(fill_memory_and_sleep, path("ready")).start();
  await_file(path("ready"));
  threads[0].kill(0ms);
  EXPECT_THROW(threads[0].getResult(), Killed);
  EXPECT_EQ(wait_any(threads, 0s), 0u);
  EXPECT_TRUE(eventually([&] { return threads[0].join(0s); }));
}

TEST_F(WaitAny, MayBeWaitedInByManyThreads) {
  auto threads = start_waiters(3);
  std::vector<std::jthread> waiters;
  for (int i = 0; i < 8; ++i)
    waiters.emplace_back([&] { EXPECT_EQ(wait_any(threads), 2u); });
  release(2);
}

TEST_F(WaitAny, OfAHundredCallsFindsEach) {
  std::vector<KillableThread<int>> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([](int n) { return n; }, i);
    threads.back().start();
  }
  int sum = 0;
  while (!threads.empty()) {
    const std::optional<std::size_t> ended = wait_any(threads, kWatchdog);
    ASSERT_TRUE(ended.has_value());
    sum += threads[*ended].getResult();
    threads.erase(threads.begin() + static_cast<std::ptrdiff_t>(*ended));
  }
  EXPECT_EQ(sum, 4950);
}

}  // namespace
}  // namespace killable::test
