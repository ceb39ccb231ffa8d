#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/fixture.hpp"
#include "support/sanitizers.hpp"

namespace killable::test {
namespace {

class HostThreads : public NothingIsLeft {};

int twice(int n) { return 2 * n; }

/// Runs until the test signals `file`.
int wait_for(std::string file) {
  while (::access(file.c_str(), F_OK) != 0) ::usleep(10'000);
  return 7;
}

/// Runs `body(i)` in thread i of `count`, and waits for all.
template <class Body>
void in_threads(int count, Body body) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
}

TEST_F(HostThreads, HundredCallsRunAtOnce) {
  std::vector<KillableThread<int>> calls;
  for (int i = 0; i < 100; ++i) calls.emplace_back(wait_for, path("go"));
  for (auto& each : calls) each.start();
  for (auto& each : calls) {
    EXPECT_TRUE(each.is_alive());
    EXPECT_TRUE(is_alive(each.get_id()));
  }
  signal_file(path("go"));
  for (auto& each : calls) EXPECT_EQ(each.getResult(), 7);
}

TEST_F(HostThreads, SixteenEachRunManyCalls) {
  constexpr int kCalls = repetitions(50);
  std::atomic<int> right = 0;
  in_threads(16, [&](int thread) {
    for (int i = 0; i < kCalls; ++i)
      if (call(twice, 1000 * thread + i) == 2 * (1000 * thread + i)) ++right;
  });
  EXPECT_EQ(right, 16 * kCalls);
}

TEST_F(HostThreads, ThreadsThatStartTheFirstCallTogetherShareAForkServer) {
  end_process(the_process_named("killable-guard"));
  ASSERT_TRUE(eventually([] { return other_processes().empty(); }));
  std::atomic<int> right = 0;
  in_threads(16, [&](int i) {
    if (call(twice, i) == 2 * i) ++right;
  });
  EXPECT_EQ(right, 16);
  EXPECT_EQ(processes_named("killable-guard").size(), 1u);
  warm_up();
  forget_holdings();
}

/// A lock of the host's own, which a worker must never find held.
std::mutex user_lock;

void hold_user_lock() {
  const std::lock_guard lock(user_lock);
  ::usleep(100);
}

void hold_malloc_lock() {
  std::vector<std::unique_ptr<char[]>> blocks;
  for (std::size_t size = 16; size < 64'000; size *= 2)
    blocks.push_back(std::make_unique<char[]>(size));
}

void hold_stdio_lock() {
  ::flockfile(stdout);
  ::usleep(100);
  ::funlockfile(stdout);
}

/// Threads that hold one or the other most of the time.
class BusyThreads {
 public:
  explicit BusyThreads(int count) {
    for (int i = 0; i < count; ++i)
      threads_.emplace_back([this, i] {
        while (!done_) kWork[i % 3]();
      });
  }
  ~BusyThreads() { done_ = true; }

 private:
  static constexpr void (*kWork[])() = {hold_user_lock, hold_malloc_lock,
                                        hold_stdio_lock};
  std::atomic<bool> done_ = false;
  std::vector<std::jthread> threads_;
};

/// Takes each of those locks.
int take_locks(int n) {
  const std::lock_guard user(user_lock);
  const auto block = std::make_unique<char[]>(50'000);
  std::fputs("", stdout);
  std::fflush(nullptr);
  return 2 * n;
}

TEST_F(HostThreads, CallsRunWhileFiftyThreadsHoldLocks) {
  constexpr int kCalls = repetitions(1000);
  std::atomic<int> right = 0;
  const BusyThreads busy(50);
  in_threads(8, [&](int thread) {
    for (int i = thread; i < kCalls; i += 8)
      if (call(take_locks, i) == 2 * i) ++right;
  });
  EXPECT_EQ(right, kCalls);
}

TEST_F(HostThreads, ForkServersStartWhileFiftyThreadsHoldLocks) {
  for (int i = 0; i < repetitions(10); ++i) {
    const BusyThreads busy(50);
    end_process(the_process_named("killable-guard"));
    ASSERT_TRUE(eventually([] { return other_processes().empty(); }));
    EXPECT_EQ(call(take_locks, i), 2 * i);
    warm_up();
  }
  forget_holdings();
}

TEST_F(HostThreads, SpawnedWorkersStartWhileFiftyThreadsHoldLocks) {
  const BusyThreads busy(50);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(call({.start_method = StartMethod::spawn}, take_locks, i), 2 * i);
}

TEST_F(HostThreads, ACallOutlivesTheThreadThatStartedIt) {
  KillableThread thread(wait_for, path("go"));
  std::jthread([&] { thread.start(); }).join();
  EXPECT_FALSE(thread.join(std::chrono::milliseconds(50)));
  EXPECT_TRUE(is_alive(thread.get_id()));
  signal_file(path("go"));
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(HostThreads, CallsOutliveTheThreadThatStartedTheForkServer) {
  end_process(the_process_named("killable-guard"));
  ASSERT_TRUE(eventually([] { return other_processes().empty(); }));
  {
    KillableThread thread(wait_for, path("go"));
    std::jthread([&] { thread.start(); }).join();
    EXPECT_EQ(call(twice, 4), 8);
    EXPECT_TRUE(thread.is_alive());
    signal_file(path("go"));
    EXPECT_EQ(thread.getResult(), 7);
  }
  warm_up();
  forget_holdings();
}

TEST_F(HostThreads, AHandleMovesToAnotherThreadWhileItsCallRuns) {
  KillableThread thread(wait_for, path("go"));
  thread.start();
  int result = 0;
  std::jthread other([&result](KillableThread<int> mine) { result = mine.getResult(); },
                     std::move(thread));
  signal_file(path("go"));
  other.join();
  EXPECT_EQ(result, 7);
}

TEST_F(HostThreads, AHandleDroppedByAnotherThreadEndsItsWorker) {
  std::optional<KillableThread<int>> thread(std::in_place, wait_for, path("never"));
  thread->start();
  const pid_t worker = thread->get_id();
  std::jthread([&] { thread.reset(); }).join();
  EXPECT_FALSE(is_alive(worker));
}

TEST_F(HostThreads, ManyThreadsWaitForOneCall) {
  KillableThread thread(wait_for, path("go"));
  thread.start();
  std::atomic<int> waiting = 0;
  std::atomic<int> right = 0;
  std::jthread starter([&] {
    eventually([&] { return waiting == 16; });
    signal_file(path("go"));
  });
  in_threads(16, [&](int i) {
    ++waiting;
    if (i % 2 == 0) thread.join();
    if (thread.getResult() == 7) ++right;
  });
  EXPECT_EQ(right, 16);
}

TEST_F(HostThreads, OfManyThreadsThatStartOneCallOneDoes) {
  KillableThread thread(twice, 21);
  std::atomic<int> started = 0;
  std::atomic<int> refused = 0;
  in_threads(8, [&](int) {
    try {
      thread.start();
      ++started;
    } catch (const std::logic_error&) {
      ++refused;
    }
  });
  EXPECT_EQ(started, 1);
  EXPECT_EQ(refused, 7);
  EXPECT_EQ(thread.getResult(), 42);
}

TEST_F(HostThreads, WaitAnyInOneThreadDoesNotHoldUpAnother) {
  std::vector<KillableThread<int>> slow;
  slow.emplace_back(wait_for, path("go"));
  slow.back().start();
  std::jthread waiter([&] { EXPECT_EQ(wait_any(slow), 0u); });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(call(twice, i), 2 * i);
  EXPECT_TRUE(slow[0].is_alive());
  signal_file(path("go"));
}

}  // namespace
}  // namespace killable::test
