#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/sleeping_thread.hpp"

/// A pool's calls and its workers. What a call can do in a worker that is used again is
/// in pool_isolation_test.cpp, how pools end in pool_ends_test.cpp, and
/// ProcessPool::map() in pool_map_test.cpp.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Pool : public NothingIsLeft {};

int twice(int n) { return 2 * n; }

pid_t wait_for(const std::string& file) {
  await_file(file);
  return ::getpid();
}

// --- Calls ---

TEST_F(Pool, ACallRunsInAnotherProcessAndItsValueComesBack) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit(twice, 21);
  EXPECT_EQ(call.getResult(), 42);
  EXPECT_EQ(call.getResult(), 42);
  EXPECT_EQ(call.state(), State::returned);
  auto where = pool.submit(::getpid);
  EXPECT_NE(where.getResult(), ::getpid());
  EXPECT_EQ(where.getResult(), where.get_id());
}

TEST_F(Pool, ACallThatThrowsThrowsByTypeAndTheWorkerGoesOn) {
  ProcessPool pool({.workers = 1});
  auto first = pool.submit(::getpid);
  const pid_t worker = first.getResult();
  auto call = pool.submit([] { throw std::out_of_range("no such row"); });
  EXPECT_THROW(call.getResult(), std::out_of_range);
  EXPECT_THROW(call.getResult(), std::out_of_range);
  EXPECT_EQ(call.state(), State::threw);
  EXPECT_EQ(pool.submit(::getpid).getResult(), worker);
}

TEST_F(Pool, WorkersAreReusedAndNeverMoreThanTheLimit) {
  ProcessPool pool({.workers = 2});
  std::vector<KillableThread<pid_t>> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(pool.submit(::getpid));
  std::set<pid_t> workers;
  for (auto& call : calls) workers.insert(call.getResult());
  EXPECT_LE(workers.size(), 2u);
  EXPECT_LE(pool.stats().workers, 2u);
}

TEST_F(Pool, AnIdleWorkerIsTakenBeforeANewOneIsMade) {
  ProcessPool pool({.workers = 4});
  const pid_t worker = pool.submit(::getpid).getResult();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit(::getpid).getResult(), worker);
  EXPECT_EQ(pool.stats().workers, 1u);
}

TEST_F(Pool, AWorkerIsMadeForEachCallThatWouldHaveToWait) {
  ProcessPool pool({.workers = 3});
  std::vector<KillableThread<pid_t>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(pool.submit(wait_for, path("go")));
  EXPECT_TRUE(eventually([&] { return pool.stats().workers == 3; }));
  signal_file(path("go"));
  std::set<pid_t> workers;
  for (auto& call : calls) workers.insert(call.getResult());
  EXPECT_EQ(workers.size(), 3u);
}

TEST_F(Pool, CallsAreSpreadOverTheIdleWorkers) {
  ProcessPool pool({.workers = 2});
  {
    auto one = pool.submit(wait_for, path("go"));
    auto other = pool.submit(wait_for, path("go"));
    EXPECT_TRUE(eventually([&] { return pool.stats().running == 2; }));
    signal_file(path("go"));
    one.join();
    other.join();
  }
  std::set<pid_t> workers;
  for (int i = 0; i < 4; ++i) workers.insert(pool.submit(::getpid).getResult());
  EXPECT_EQ(workers.size(), 2u);
}

TEST_F(Pool, ArgumentsAndResultsOfManySizesCross) {
  ProcessPool pool({.workers = 1});
  const auto cross = [&](std::size_t size) {
    const std::string text(size, 'x');
    auto call = pool.submit([](std::string s) { return s + s; }, text);
    EXPECT_EQ(call.getResult(), text + text) << size;
  };
  for (const std::size_t size : {0, 1, 4095, 4096, 65536, 65537}) cross(size);
  EXPECT_EQ(pool.stats().recycled, 0u);
  // After a pause the worker of such a call is another.
  cross(3'000'000);
  cross(100);
  EXPECT_LE(pool.stats().recycled, 1u);
}

/// What this process has touched of memfds, in kilobytes. See proc(5), RssShmem.
long shared_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (long kilobytes = 0; word == "RssShmem:" && status >> kilobytes) return kilobytes;
  return 0;
}

TEST_F(Pool, TheMemoryOfLargeCallsIsGivenBackWhenThePoolHasBeenIdle) {
  ProcessPool pool({.workers = 1});
  pool.submit([] {}).join();
  const long before = shared_kilobytes();
  EXPECT_EQ(pool.submit([](std::string s) { return s; }, std::string(10 << 20, 'x'))
                .getResult()
                .size(),
            std::size_t{10} << 20);
  EXPECT_TRUE(eventually([&] { return shared_kilobytes() < before + 2048; }));
}

TEST_F(Pool, AViewIsSeenInPlaceAndAResultThatIsTooLargeIsALimitExceeded) {
  ProcessPool pool({.workers = 1, .call = {.max_result_bytes = 1000}});
  auto length = pool.submit([](std::string_view s) { return s.size(); }, "four");
  EXPECT_EQ(length.getResult(), 4u);
  auto large = pool.submit([](int n) { return std::string(std::size_t(n), 'x'); }, 2000);
  EXPECT_THROW(large.getResult(), LimitExceeded);
  EXPECT_EQ(pool.submit(twice, 1).getResult(), 2);
}

TEST_F(Pool, ASharedArrayIsSeenByHostAndWorker) {
  ProcessPool pool({.workers = 1});
  SharedArray<int> array(1000);
  auto write = pool.submit([](SharedArray<int> passed) { passed[999] = 7; }, array);
  write.getResult();
  EXPECT_EQ(array[999], 7);
}

TEST_F(Pool, CallsWithSharedArraysAreNoneOfAnotherKind) {
  ProcessPool pool({.workers = 1});
  const auto where = [](std::vector<SharedArray<int>> arrays, std::size_t index) {
    for (SharedArray<int>& array : arrays) array[index] = int(index);
    return ::getpid();
  };
  const pid_t worker = pool.submit(::getpid).getResult();
  const std::vector<SharedArray<int>> arrays{SharedArray<int>(100),
                                             SharedArray<int>(100)};
  std::vector<KillableThread<pid_t>> calls;
  for (std::size_t i = 0; i < 100; ++i) {
    calls.push_back(pool.submit(where, arrays, i));
    calls.push_back(pool.submit(::getpid));
  }
  for (auto& call : calls) EXPECT_EQ(call.getResult(), worker);
  for (int i = 0; i < 100; ++i)
    for (const auto& array : arrays) EXPECT_EQ(array[std::size_t(i)], i);
}

TEST_F(Pool, AnArrayBeginsAsZerosAlsoWhereAnEarlierResultLay) {
  constexpr std::size_t kBytes = std::size_t{12} << 20;
  ProcessPool pool({.workers = 1, .call = {.max_result_bytes = std::size_t{16} << 20}});
  EXPECT_EQ(pool.submit([] { return std::string(kBytes, 'x'); }).getResult().size(),
            kBytes);
  for (int i = 0; i < 2; ++i) {
    auto call = pool.submit([] {
      const SharedArray<char> made(kBytes);
      return std::ranges::count(made, '\0');
    });
    EXPECT_EQ(call.getResult(), std::ptrdiff_t(kBytes));
  }
  EXPECT_EQ(pool.stats().recycled, 0u);
}

TEST_F(Pool, AnArrayThatACallReturnsIsNotTouchedByTheNext) {
  ProcessPool pool({.workers = 1});
  const auto make = [](int value) {
    SharedArray<int> made(1000);
    std::ranges::fill(made, value);
    return made;
  };
  std::vector<SharedArray<int>> arrays;
  for (int i = 0; i < 5; ++i) arrays.push_back(pool.submit(make, i).getResult());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(arrays[std::size_t(i)][0], i);
    EXPECT_EQ(arrays[std::size_t(i)][999], i);
  }
}

TEST_F(Pool, ACallOfAnotherKindHasAWorkerOfItsOwn) {
  ProcessPool pool({.workers = 1, .call = {.max_result_bytes = 1000}});
  const pid_t worker = pool.submit(::getpid).getResult();
  auto large = pool.submit({.max_result_bytes = 1 << 20},
                           [] { return std::string(100'000, 'x'); });
  EXPECT_EQ(large.getResult().size(), 100'000u);
  auto spawned = pool.submit({.start_method = StartMethod::spawn}, ::getpid);
  EXPECT_NE(spawned.getResult(), worker);
  EXPECT_EQ(pool.submit(twice, 21).getResult(), 42);
  EXPECT_LE(pool.stats().workers, 1u);
}

TEST_F(Pool, AForkedCallableIsRefused) {
  ProcessPool pool({.workers = 1});
  int captured = 5;
  EXPECT_THROW(pool.submit(forked([&] { return captured; })), std::invalid_argument);
}

TEST_F(Pool, InInlineModeACallRunsInThisProcess) {
  ::setenv("KILLABLE_INLINE", "1", 1);
  ProcessPool pool({.workers = 1});
  EXPECT_EQ(pool.submit(::getpid).getResult(), ::getpid());
  ::unsetenv("KILLABLE_INLINE");
}

// --- The queue ---

TEST_F(Pool, ACallBeyondTheQueueIsQueueFull) {
  ProcessPool pool({.workers = 1, .max_queued = 2});
  auto running = pool.submit(wait_for, path("go"));
  EXPECT_TRUE(eventually([&] { return pool.stats().running == 1; }));
  auto first = pool.submit(twice, 1);
  auto second = pool.submit(twice, 2);
  EXPECT_THROW(pool.submit(twice, 3), QueueFull);
  signal_file(path("go"));
  EXPECT_EQ(second.getResult(), 4);
  EXPECT_EQ(pool.submit(twice, 3).getResult(), 6);
}

TEST_F(Pool, ABacklogLargerThanThePoolCompletesAlsoIfWorkersAreReplaced) {
  ProcessPool pool({.workers = 2, .max_calls_per_worker = 2});
  std::vector<KillableThread<pid_t>> calls;
  for (int i = 0; i < 30; ++i) calls.push_back(pool.submit(::getpid));
  std::map<pid_t, int> served;
  for (auto& call : calls) ++served[call.getResult()];
  for (const auto& [worker, count] : served) EXPECT_LE(count, 2) << worker;
}

TEST_F(Pool, CallsThatNobodyWaitsForRunAllTheSame) {
  ProcessPool pool({.workers = 1});
  std::vector<KillableThread<void>> calls;
  for (int i = 0; i < 5; ++i)
    calls.push_back(pool.submit([](std::string file) { signal_file(file); },
                                path(std::to_string(i))));
  for (int i = 0; i < 5; ++i) await_file(path(std::to_string(i)));
}

/// Long enough for whoever waits meanwhile to do so alone.
int take_a_while(int n) {
  ::usleep(20'000);
  return n;
}

TEST_F(Pool, ACallBehindOneThatSomebodyHasWaitedForRuns) {
  ProcessPool pool({.workers = 1});
  auto first = pool.submit(take_a_while, 1);
  auto second = pool.submit(take_a_while, 2);
  auto third = pool.submit(take_a_while, 3);
  EXPECT_EQ(first.getResult(), 1);
  EXPECT_TRUE(ends(third));
}

TEST_F(Pool, WaitAnyFindsACallBehindOneThatSomebodyHasWaitedFor) {
  ProcessPool pool({.workers = 1});
  auto first = pool.submit(
      [](std::string go) {
        await_file(go);
        return 1;
      },
      path("go"));
  std::vector<KillableThread<int>> others;
  for (int n = 2; n < 5; ++n) others.push_back(pool.submit(take_a_while, n));
  const SleepingThread waiter([&] { EXPECT_EQ(first.getResult(), 1); });
  const pid_t waiting = ::gettid();
  std::jthread releaser([&] {
    await_sleep(waiting);
    signal_file(path("go"));
  });
  EXPECT_EQ(wait_any(others, kWatchdog), 0u);
}

TEST_F(Pool, QueueTimeoutCountsFromSubmit) {
  // Long enough for the first call to come to a worker.
  ProcessPool pool({.workers = 1, .queue_timeout = 1s});
  auto running = pool.submit(wait_for, path("go"));
  EXPECT_TRUE(eventually([&] { return pool.stats().running == 1; }));
  const auto submitted = std::chrono::steady_clock::now();
  auto queued = pool.submit(twice, 1);
  try {
    queued.getResult();
    ADD_FAILURE() << "it ran";
  } catch (const TimedOut& error) {
    EXPECT_EQ(error.timeout(), 1s);
  }
  EXPECT_GE(std::chrono::steady_clock::now() - submitted, 1s);
  EXPECT_EQ(queued.state(), State::timed_out);
  EXPECT_TRUE(running.is_alive());
  signal_file(path("go"));
  running.join();
}

TEST_F(Pool, AQueueTimeoutBeyondTheEndOfTimeIsNone) {
  ProcessPool pool({.workers = 1, .queue_timeout = std::chrono::nanoseconds::max()});
  auto running = pool.submit(wait_for, path("go"));
  EXPECT_TRUE(eventually([&] { return pool.stats().running == 1; }));
  auto queued = pool.submit(twice, 1);
  EXPECT_FALSE(queued.join(50ms));
  signal_file(path("go"));
  EXPECT_EQ(queued.getResult(), 2);
  running.join();
}

TEST_F(Pool, ATimeoutCountsFromTheStartOfTheCall) {
  ProcessPool pool({.workers = 1});
  auto running = pool.submit(wait_for, path("go"));
  EXPECT_TRUE(eventually([&] { return pool.stats().running == 1; }));
  // Longer in the queue than its timeout.
  auto queued = pool.submit({.timeout = 1s}, twice, 4);
  EXPECT_FALSE(queued.join(1100ms));
  signal_file(path("go"));
  EXPECT_EQ(queued.getResult(), 8);
}

TEST_F(Pool, ATimeoutEndsItsCallAndNoOther) {
  ProcessPool pool({.workers = 1});
  EXPECT_EQ(pool.submit(twice, 1).getResult(), 2);
  auto hanging = pool.submit({.timeout = 30ms, .grace_period = 10ms}, compute_for_ever);
  auto next = pool.submit(twice, 5);
  EXPECT_THROW(hanging.getResult(), TimedOut);
  EXPECT_EQ(hanging.state(), State::timed_out);
  EXPECT_EQ(next.getResult(), 10);
}

TEST_F(Pool, ATimeoutThatDidNotStrikeIsForgotten) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = pool.submit(::getpid).getResult();
  EXPECT_EQ(pool.submit({.timeout = 300ms}, ::getpid).getResult(), worker);
  // The next one runs past that instant.
  auto longer = pool.submit([] {
    std::this_thread::sleep_for(600ms);
    return ::getpid();
  });
  EXPECT_EQ(longer.getResult(), worker);
  EXPECT_EQ(pool.stats().recycled, 0u);
}

// --- Waiting ---

TEST_F(Pool, ManyThreadsMayWaitForOneCall) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit(wait_for, path("go"));
  std::vector<std::jthread> waiting;
  std::atomic<int> woken{0};
  for (int i = 0; i < 8; ++i)
    waiting.emplace_back([&] {
      call.join();
      ++woken;
    });
  EXPECT_FALSE(call.join(5ms));
  signal_file(path("go"));
  waiting.clear();
  EXPECT_EQ(woken, 8);
}

TEST_F(Pool, ManyThreadsMayTakeTheResultOfOneCall) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit([] {
    SharedArray<int> array(100);
    array[99] = 7;
    return array;
  });
  std::vector<std::jthread> takers;
  for (int i = 0; i < 8; ++i)
    takers.emplace_back([&] { EXPECT_EQ(call.getResult()[99], 7); });
}

TEST_F(Pool, AJoinThatTimesOutLeavesTheCallToOthers) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit(wait_for, path("go"));
  std::jthread impatient([&] { EXPECT_FALSE(call.join(20ms)); });
  std::jthread patient([&] { EXPECT_TRUE(call.join(kWatchdog)); });
  impatient.join();
  signal_file(path("go"));
}

TEST_F(Pool, WaitAnyTakesCallsOfPoolsAndOthersTogether) {
  ProcessPool pool({.workers = 2});
  std::vector<KillableThread<pid_t>> calls;
  calls.push_back(pool.submit(wait_for, path("pooled")));
  calls.emplace_back(wait_for, path("fresh"));
  calls.back().start();
  EXPECT_EQ(wait_any(calls, 5ms), std::nullopt);
  signal_file(path("pooled"));
  EXPECT_EQ(wait_any(calls, kWatchdog), 0u);
  calls.erase(calls.begin());
  signal_file(path("fresh"));
  EXPECT_EQ(wait_any(calls, kWatchdog), 0u);
}

TEST_F(Pool, TenThreadsMayShareIt) {
  ProcessPool pool({.workers = 2});
  std::vector<std::jthread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 10; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i)
        if (pool.submit(twice, 100 * t + i).getResult() == 2 * (100 * t + i)) ++right;
    });
  threads.clear();
  EXPECT_EQ(right, 200);
}

TEST_F(Pool, PoolsMayNest) {
  ProcessPool pool({.workers = 1});
  auto outer = pool.submit(
      [](int n) {
        ProcessPool inner({.workers = 2});
        const std::vector<int> results = inner.map(twice, std::vector<int>(4, n));
        return std::accumulate(results.begin(), results.end(), 0);
      },
      3);
  EXPECT_EQ(outer.getResult(), 24);
}

TEST_F(Pool, AHandleOfAStartedCallCannotBeStartedAgain) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit(twice, 1);
  EXPECT_THROW(call.start(), std::logic_error);
  EXPECT_THROW(call.run(), std::logic_error);
}

TEST_F(Pool, OptionsOutOfRangeAreRefused) {
  EXPECT_THROW(ProcessPool({.queue_timeout = 0ns}), std::invalid_argument);
  EXPECT_THROW(ProcessPool({.call = {.timeout = -1ns}}), std::invalid_argument);
}

TEST_F(Pool, StatsTellWhatItDoes) {
  ProcessPool pool({.workers = 1});
  auto running = pool.submit(wait_for, path("go"));
  EXPECT_TRUE(eventually([&] { return pool.stats().running == 1; }));
  auto queued = pool.submit(twice, 1);
  PoolStats stats = pool.stats();
  EXPECT_EQ(stats.queued, 1u);
  EXPECT_EQ(stats.workers, 1u);
  EXPECT_EQ(stats.completed, 0u);
  std::this_thread::sleep_for(2ms);  // What the quantiles will be longer than.
  signal_file(path("go"));
  queued.join();
  stats = pool.stats();
  EXPECT_EQ(stats.queued + stats.running, 0u);
  EXPECT_EQ(stats.completed, 2u);
  EXPECT_GT(stats.run_p99, 2ms);
  EXPECT_GT(stats.wait_p99, 2ms);
}

}  // namespace
}  // namespace killable::test
