#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <future>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>

#include "support/announce.hpp"
#include "support/ends.hpp"
#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/processes.hpp"
#include "support/sanitizers.hpp"
#include "support/session_processes.hpp"

/// Kills of a pool's calls.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class PoolKill : public NothingIsLeft {
 protected:
  /// Kills calls while the fork server is stopped, until getResult() of one throws all
  /// the same: it need not, if the worker is gone so fast that only the fork server knows
  /// what it has left. Looks at each before the fork server goes on, and after its end.
  template <class Look, class Check>
  void expect_an_early_end(ProcessPool& pool, Look look, Check check) {
    bool was_early = false;
    for (int attempt = 0; attempt < 100 && !was_early; ++attempt) {
      const std::string running = path("running" + std::to_string(attempt));
      auto victim = pool.submit(announce_and_spin, running);
      const pid_t worker = await_pid(running);
      std::future<void> result;
      {
        const StoppedSession stopped(the_session());
        victim.kill(0ms);
        result = std::async(std::launch::async,
                            [&] { EXPECT_THROW(victim.getResult(), Killed); });
        was_early = result.wait_for(100ms) == std::future_status::ready;
        look(victim, was_early);
      }
      EXPECT_TRUE(ends_killed(victim));
      check(victim, worker);
    }
    EXPECT_TRUE(was_early);
  }
};

int twice(int n) { return 2 * n; }

TEST_F(PoolKill, AKillCostsTheOneCallAndItsWorkerIsReplaced) {
  ProcessPool pool({.workers = 1});
  auto victim = pool.submit(announce_and_spin, path("running"));
  auto next = pool.submit(::getpid);
  const pid_t worker = await_pid(path("running"));
  victim.kill(1ms);
  EXPECT_THROW(victim.getResult(), Killed);
  EXPECT_EQ(victim.state(), State::killed);
  EXPECT_NE(next.getResult(), worker);
  EXPECT_EQ(pool.stats().recycled, 1u);
}

TEST_F(PoolKill, AKillReturnsAtOnceAndTheReportTellsTheEnd) {
  ProcessPool pool({.workers = 1});
  auto victim = pool.submit(announce_and_spin, path("running"));
  const pid_t worker = await_pid(path("running"));
  victim.kill(0ms);
  const Report report = [&] {
    victim.join();
    return victim.report();
  }();
  EXPECT_EQ(report.state, State::killed);
  EXPECT_EQ(report.pid, worker);
  EXPECT_EQ(report.signal, SIGKILL);
  EXPECT_GT(report.max_rss_bytes, 0u);
}

TEST_F(PoolKill, AQueuedCallThatIsKilledNeverRunsAndItsFollowersDo) {
  ProcessPool pool({.workers = 1});
  auto running = pool.submit(announce_and_wait, path("running"), path("go"));
  await_pid(path("running"));
  auto killed = pool.submit([](std::string file) { signal_file(file); }, path("ran"));
  auto follower = pool.submit(twice, 4);
  killed.kill();
  EXPECT_THROW(killed.getResult(), Killed);
  EXPECT_EQ(killed.report().pid, 0);
  signal_file(path("go"));
  EXPECT_EQ(follower.getResult(), 8);
  EXPECT_FALSE(std::filesystem::exists(path("ran")));
}

TEST_F(PoolKill, KillsWhileACallsOwnWorkerIsMadeCountAndTheShortestGracePeriodWins) {
  ProcessPool pool;
  std::optional<KillableThread<void>> call;
  {
    const StoppedSession stopped(the_session());
    call = pool.submit({.max_result_bytes = std::size_t{2} << 30}, [] {
      ignore_every_signal();
      sleep_for_ever();
    });
    // The pool's thread has taken it and waits for the fork server.
    ASSERT_TRUE(eventually([&] { return pool.stats().queued == 0; }));
    call->kill(1h);
    call->kill(0ms);
    call->kill(1h);
    call->raise_exception();
  }
  EXPECT_THROW(call->getResult(), Killed);
  EXPECT_EQ(call->report().signal, SIGKILL);
}

TEST_F(PoolKill, AHandleThatIsDroppedKillsItsCall) {
  ProcessPool pool({.workers = 1});
  {
    auto dropped = pool.submit({.grace_period = 1ms}, announce_and_spin, path("running"));
    await_pid(path("running"));
    auto queued = pool.submit([](std::string file) { signal_file(file); }, path("ran"));
  }
  EXPECT_EQ(pool.submit(twice, 4).getResult(), 8);
  EXPECT_FALSE(std::filesystem::exists(path("ran")));
}

TEST_F(PoolKill, ACallThatHasEndedCannotBeKilledAndItsWorkerLives) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit(::getpid);
  const pid_t worker = call.getResult();
  call.kill(0ms);
  call.raise_exception();
  EXPECT_FALSE(call.request_stop());
  EXPECT_EQ(pool.submit(::getpid).getResult(), worker);
  EXPECT_EQ(call.getResult(), worker);
}

TEST_F(PoolKill, KillsAtRandomMomentsHitNoOtherCall) {
  ProcessPool pool({.workers = 2});
  std::mt19937 random(1);
  std::uniform_int_distribution<int> microseconds(0, 300);
  for (int round = 0; round < 100; ++round) {
    auto victim = pool.submit({.grace_period = 0ms}, twice, 1);
    auto bystander = pool.submit(twice, round);
    const auto until = std::chrono::steady_clock::now() +
                       std::chrono::microseconds(microseconds(random));
    while (std::chrono::steady_clock::now() < until) {
    }
    victim.kill();
    auto late = pool.submit(twice, -round);  // Inside the window of the kill.
    EXPECT_EQ(bystander.getResult(), 2 * round);
    EXPECT_EQ(late.getResult(), -2 * round);
    try {
      EXPECT_EQ(victim.getResult(), 2);
    } catch (const Killed&) {
    }
  }
}

// --- Without a grace period ---

TEST_F(PoolKill, WithoutAGracePeriodNeedsNoForkServer) {
  ProcessPool pool({.workers = 1});
  std::uint64_t killed = 0;
  const auto look = [&](KillableThread<pid_t>& call, bool was_early) {
    EXPECT_EQ(call.state(), was_early ? State::killed : State::running);
    if (was_early) {
      EXPECT_EQ(wait_any(std::span(&call, 1)), 0u);
      EXPECT_FALSE(call.request_stop());
      EXPECT_EQ(pool.stats().running, 0u);
      EXPECT_EQ(pool.stats().completed, killed + 1);
    }
    EXPECT_FALSE(call.join(0ms));
  };
  expect_an_early_end(pool, look, [&](const KillableThread<pid_t>& call, pid_t worker) {
    EXPECT_EQ(call.report().pid, worker);
    EXPECT_GT(call.report().max_rss_bytes, 0u);
    EXPECT_EQ(pool.stats().completed, ++killed);
  });
}

TEST_F(PoolKill, WithoutAGracePeriodWakesEveryThreadThatWaitsForTheResult) {
  ProcessPool pool({.workers = 1});
  auto victim = pool.submit(announce_and_spin, path("running"));
  await_pid(path("running"));
  const auto wait = [&] { EXPECT_THROW(victim.getResult(), Killed); };
  const std::jthread one(wait);
  const std::jthread another(wait);
  victim.kill(0ms);
}

TEST_F(PoolKill, ThePlaceOfADeadWorkerIsFreeBeforeItIsReaped) {
  warm_up();
  ProcessPool pool({.workers = 1});
  auto victim = pool.submit(announce_and_spin, path("running"));
  const pid_t worker = await_pid(path("running"));
  const StoppedSession stopped(the_session());
  auto next = pool.submit(::getpid);
  victim.kill(0ms);
  EXPECT_NE(next.getResult(), worker);
  EXPECT_EQ(pool.stats().workers, 1u);
}

TEST_F(PoolKill, WhatWaitsBehindACrashDoesNotWaitForTheForkServer) {
  constexpr auto kStall = 5ms;  // After which it is taken from a worker that lives, too.
  bool was_prompt = false;
  for (int round = 0; round < 50 && !was_prompt; ++round) {
    warm_up();
    ASSERT_TRUE(eventually([] { return processes_named("killable-spare").size() == 2; }));
    ProcessPool pool({.workers = 1});
    for (int i = 0; i < 50; ++i) pool.submit(twice, i).getResult();
    std::optional<StoppedSession> stopped(the_session());
    const auto start = std::chrono::steady_clock::now();
    auto crashing = pool.submit([] { ::raise(SIGKILL); });
    auto behind = pool.submit(twice, 21);
    EXPECT_TRUE(ends(behind));
    // Under a sanitizer no call is so tiny that another waits behind it.
    was_prompt = !kCallsMayBeTiny || std::chrono::steady_clock::now() - start < kStall;
    stopped.reset();
    EXPECT_EQ(behind.getResult(), 42);
    EXPECT_THROW(crashing.getResult(), WorkerCrashed);
  }
  EXPECT_TRUE(was_prompt);
}

TEST_F(PoolKill, ALostSessionLeavesACallThatWasKilledKilled) {
  ProcessPool pool({.workers = 1});
  const auto lose = [](KillableThread<pid_t>&, bool was_early) {
    if (was_early) end_process(the_session().fork_server);
  };
  expect_an_early_end(pool, lose, [](const KillableThread<pid_t>& call, pid_t) {
    EXPECT_EQ(call.report().state, State::killed);
  });
}

}  // namespace
}  // namespace killable::test
