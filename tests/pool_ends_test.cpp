#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/announce.hpp"
#include "support/child_host.hpp"
#include "support/ends.hpp"
#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/limited.hpp"
#include "support/misbehaviour.hpp"
#include "support/sanitizers.hpp"
#include "support/session_processes.hpp"
#include "support/sleeping_thread.hpp"

/// What ends a pool's calls, its workers and the pool itself, and what that costs others.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class PoolEnds : public NothingIsLeft {};

int twice(int n) { return 2 * n; }

TEST_F(PoolEnds, AStopRequestReachesTheTokenOfThatCallAlone) {
  ProcessPool pool({.workers = 1});
  const auto until_stopped = [](std::stop_token token, std::string file) {
    signal_file(file);
    while (!token.stop_requested()) std::this_thread::sleep_for(1ms);
    return 7;
  };
  auto first = pool.submit(until_stopped, path("first"));
  await_file(path("first"));
  EXPECT_TRUE(first.request_stop());
  EXPECT_FALSE(first.request_stop());
  EXPECT_EQ(first.getResult(), 7);
  auto second = pool.submit(until_stopped, path("second"));
  await_file(path("second"));
  EXPECT_FALSE(second.join(20ms));
  EXPECT_TRUE(second.request_stop());
  EXPECT_EQ(second.getResult(), 7);
}

TEST_F(PoolEnds, AWorkerWithAStopTokenIsUsedAgain) {
  ProcessPool pool({.workers = 1});
  const auto where = [](std::stop_token) { return ::getpid(); };
  const pid_t worker = pool.submit(where).getResult();
  EXPECT_EQ(pool.submit(where).getResult(), worker);
  EXPECT_EQ(pool.submit(::getpid).getResult(), worker);
}

TEST_F(PoolEnds, ASharedArrayThatComesIsNoStopRequest) {
  ProcessPool pool({.workers = 1});
  SharedArray<int> rounds(1);
  const auto until_stopped = [](std::stop_token token, SharedArray<int> passed) {
    while (!token.stop_requested()) ++passed[0];
  };
  for (int i = 0; i < 20; ++i) {
    auto call = pool.submit(
        [](std::stop_token token, SharedArray<int>) { return token.stop_requested(); },
        rounds);
    EXPECT_FALSE(call.getResult());
  }
  auto call = pool.submit(until_stopped, rounds);
  EXPECT_TRUE(eventually([&] { return rounds[0] != 0; }));
  EXPECT_TRUE(call.request_stop());
  EXPECT_NO_THROW(call.getResult());
}

TEST_F(PoolEnds, OutOfAddressSpaceForASharedArrayIsAStartErrorAndANewWorker) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = pool.submit(::getpid).getResult();
  const SharedArray<char> large(std::size_t{64} << 20);
  const std::vector arrays{large, SharedArray<char>(1)};
  const auto count = [](std::vector<SharedArray<char>> all) { return all.size(); };
  {
    const Limited memory(worker, RLIMIT_AS, address_space_of(worker) + (32 << 20));
    EXPECT_THROW(pool.submit(count, arrays).getResult(), StartError);
  }
  EXPECT_EQ(pool.submit(count, arrays).getResult(), 2u);
  EXPECT_NE(pool.submit(::getpid).getResult(), worker);
}

TEST_F(PoolEnds, DestructorsRunOnSigterm) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit(
      {.grace_period = std::chrono::milliseconds(kWatchdog)},
      [](std::string running, std::string cleaned) {
        struct Cleaner {
          std::string file;
          ~Cleaner() { signal_file(file); }
        } cleaner{cleaned};
        signal_file(running);
        for (;;) ::pause();
      },
      path("running"), path("cleaned"));
  await_file(path("running"));
  call.raise_exception();
  EXPECT_THROW(call.getResult(), Killed);
  await_file(path("cleaned"));
}

// --- Other ends ---

TEST_F(PoolEnds, ACrashCostsTheOneCall) {
  ProcessPool pool({.workers = 1});
  auto crash = pool.submit([] { ::raise(SIGSEGV); });
  auto next = pool.submit(twice, 4);
  EXPECT_THROW(crash.getResult(), WorkerCrashed);
  EXPECT_EQ(crash.report().signal, SIGSEGV);
  EXPECT_EQ(next.getResult(), 8);
}

TEST_F(PoolEnds, AnExitCostsTheOneCall) {
  ProcessPool pool({.workers = 1});
  auto exits = pool.submit([] { ::_exit(8); });
  auto next = pool.submit(twice, 4);
  EXPECT_THROW(exits.getResult(), WorkerExited);
  EXPECT_EQ(exits.report().exit_code, 8);
  EXPECT_EQ(next.getResult(), 8);
}

TEST_F(PoolEnds, AnIdleWorkerThatSomebodyKillsIsReplaced) {
  ProcessPool pool({.workers = 1});
  for (int round = 0; round < 10; ++round) {
    const pid_t worker = pool.submit(::getpid).getResult();
    ::kill(worker, SIGKILL);
    // At once: the pool cannot have noticed in every round.
    auto call = pool.submit(::getpid);
    EXPECT_NE(call.getResult(), worker) << round;
  }
}

TEST_F(PoolEnds, WhatACallLeavesRunningIsEnded) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit([] {
    const pid_t child = ::fork();
    if (child == 0) sleep_for_ever();
    return child;
  });
  const pid_t child = call.getResult();
  EXPECT_TRUE(eventually([&] { return !is_alive(child); }));
  EXPECT_EQ(pool.submit(twice, 1).getResult(), 2);
}

TEST_F(PoolEnds, TheForkServersDeathLosesTheCallsThatRunAndNoOthers) {
  {
    ProcessPool pool({.workers = 1});
    auto running = pool.submit(announce_and_spin, path("running"));
    await_pid(path("running"));
    auto queued = pool.submit(twice, 4);
    ::kill(the_session().fork_server, SIGKILL);
    EXPECT_THROW(running.getResult(), WorkerLost);
    EXPECT_EQ(running.state(), State::lost);
    EXPECT_EQ(queued.getResult(), 8);
  }
  warm_up();
  forget_holdings();
}

TEST_F(PoolEnds, NothingIsLeftWhenItsHostIsKilled) {
  ChildHost host([&] {
    ProcessPool pool({.workers = 2});
    auto one = pool.submit(announce_and_spin, path("one"));
    auto other = pool.submit(announce_and_spin, path("other"));
    one.join();
  });
  await_pid(path("one"));
  await_pid(path("other"));
  host.send_signal(SIGKILL);
  host.join();
  EXPECT_TRUE(eventually(only_our_own_are_left));
}

TEST_F(PoolEnds, AChildOfTheHostLeavesItsPoolAlone) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit(announce_and_wait, path("running"), path("go"));
  const pid_t worker = await_pid(path("running"));
  {
    ChildHost child([&] {
      EXPECT_EQ(call.state(), State::lost);
      EXPECT_THROW(pool.submit(twice, 1), std::logic_error);
      if (!kThreadsAfterFork) return;
      ProcessPool own({.workers = 1});
      EXPECT_EQ(own.submit(twice, 1).getResult(), 2);
    });
    EXPECT_EQ(child.join(), 0);
  }
  EXPECT_TRUE(eventually([] { return processes_named("killable-guard").size() == 1; }));
  signal_file(path("go"));
  EXPECT_EQ(call.getResult(), worker);
}

// --- Recycling ---

TEST_F(PoolEnds, AWorkerIsReplacedAfterItsNumberOfCalls) {
  ProcessPool pool({.workers = 1, .max_calls_per_worker = 3});
  std::vector<pid_t> workers;
  for (int i = 0; i < 9; ++i) workers.push_back(pool.submit(::getpid).getResult());
  for (std::size_t i = 0; i < workers.size(); ++i)
    EXPECT_EQ(workers[i] == workers[i / 3 * 3], true) << i;
  EXPECT_NE(workers[0], workers[3]);
  EXPECT_NE(workers[3], workers[6]);
}

/// Tells of its destruction in a worker, which comes after the result.
struct SignalsItsEnd {
  std::string file;

  SignalsItsEnd() = default;
  explicit SignalsItsEnd(std::string to) : file(std::move(to)) {}
  SignalsItsEnd(SignalsItsEnd&& other) noexcept : file(std::exchange(other.file, {})) {}
  SignalsItsEnd& operator=(SignalsItsEnd&&) = delete;
  ~SignalsItsEnd() {
    if (!file.empty() && this_worker::inside()) signal_file(file);
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(file);
  }
};

TEST_F(PoolEnds, AWorkerThatIsReplacedDestroysWhatItsLastCallHas) {
  const auto leave_a_child = [](const SignalsItsEnd&) {
    if (::fork() == 0) sleep_for_ever();
  };
  ProcessPool pool({.workers = 1, .max_calls_per_worker = 2});
  pool.submit(leave_a_child, SignalsItsEnd(path("changed"))).getResult();
  await_file(path("changed"));
  pool.submit(::getpid).getResult();
  pool.submit([](const SignalsItsEnd&) {}, SignalsItsEnd(path("last"))).getResult();
  await_file(path("last"));
}

TEST_F(PoolEnds, AStopThatIsRequestedInTheQueueReachesTheCall) {
  ProcessPool pool({.workers = 1});
  auto running = pool.submit(announce_and_wait, path("running"), path("go"));
  await_pid(path("running"));
  auto queued = pool.submit([](std::stop_token token) {
    while (!token.stop_requested()) std::this_thread::sleep_for(1ms);
    return 7;
  });
  EXPECT_TRUE(queued.request_stop());
  signal_file(path("go"));
  EXPECT_EQ(queued.getResult(), 7);
}

TEST_F(PoolEnds, AWorkerThatHasGrownTooLargeIsReplaced) {
  ProcessPool pool({.workers = 1, .max_worker_memory_bytes = std::uint64_t{100} << 20});
  const pid_t worker = pool.submit(::getpid).getResult();
  EXPECT_EQ(pool.submit(::getpid).getResult(), worker);
  pool.submit([] { static const std::string hoard(150 << 20, 'x'); }).join();
  EXPECT_NE(pool.submit(::getpid).getResult(), worker);
}

// --- The end of the pool ---

TEST_F(PoolEnds, ShutdownWaitsForQueuedAndRunningCalls) {
  ProcessPool pool({.workers = 1});
  auto running = pool.submit(announce_and_wait, path("running"), path("go"));
  auto queued = pool.submit(twice, 4);
  await_pid(path("running"));
  std::atomic<bool> is_down{false};
  std::jthread shutting([&] {
    pool.shutdown();
    is_down = true;
  });
  EXPECT_FALSE(running.join(20ms));
  EXPECT_FALSE(is_down);
  signal_file(path("go"));
  shutting.join();
  EXPECT_EQ(running.state(), State::returned);
  EXPECT_EQ(queued.state(), State::returned);
  EXPECT_THROW(pool.submit(twice, 1), std::logic_error);
  EXPECT_EQ(pool.stats().workers, 0u);
  pool.shutdown();
}

TEST_F(PoolEnds, AShutdownReturnsOnceTheCallThatAnotherThreadWaitsForHasEnded) {
  ProcessPool pool({.workers = 1});
  auto running = pool.submit(announce_and_wait, path("running"), path("go"));
  await_pid(path("running"));
  const SleepingThread waiter([&] { running.getResult(); });
  const pid_t shutting = ::gettid();
  std::jthread releaser([&] {
    await_sleep(shutting);
    signal_file(path("go"));
  });
  pool.shutdown();
  EXPECT_EQ(running.state(), State::returned);
}

void expect_ten_workers(const PoolOptions& options) {
  std::vector<KillableThread<pid_t>> calls;
  {
    ProcessPool pool(options);
    for (int i = 0; i < 10; ++i) calls.push_back(pool.submit(::getpid));
  }
  std::set<pid_t> workers;
  for (auto& call : calls) workers.insert(call.getResult());
  EXPECT_EQ(workers.size(), 10u);
}

TEST_F(PoolEnds, WorkersAreReplacedForTheirCallsDuringTheShutdown) {
  expect_ten_workers({.workers = 2, .max_calls_per_worker = 1});
}

TEST_F(PoolEnds, WorkersAreReplacedForTheirMemoryDuringTheShutdown) {
  expect_ten_workers({.workers = 2, .max_worker_memory_bytes = 1});
}

TEST_F(PoolEnds, KillAllEndsQueuedAndRunningCallsAndThePoolGoesOn) {
  ProcessPool pool({.workers = 1, .call = {.grace_period = 1ms}});
  auto running = pool.submit(announce_and_spin, path("running"));
  auto queued = pool.submit(twice, 4);
  await_pid(path("running"));
  pool.kill_all();
  EXPECT_THROW(running.getResult(), Killed);
  EXPECT_THROW(queued.getResult(), Killed);
  EXPECT_EQ(pool.submit(twice, 4).getResult(), 8);
}

TEST_F(PoolEnds, AHandleOutlivesThePool) {
  std::optional<KillableThread<std::string>> call;
  {
    ProcessPool pool({.workers = 1});
    call = pool.submit([] { return std::string("still here"); });
  }
  EXPECT_EQ(call->getResult(), "still here");
}

TEST_F(PoolEnds, APoolThatWasNeverUsedEndsAtOnce) { ProcessPool pool; }

}  // namespace
}  // namespace killable::test
