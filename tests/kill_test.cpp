#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/ends.hpp"
#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/session_processes.hpp"
#include "support/sleeping_thread.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Kill : public NothingIsLeft {};

void sleeper(std::string ready) {
  signal_file(ready);
  sleep_for_ever();
}

void ignorer(std::string ready) {
  ignore_every_signal();
  signal_file(ready);
  sleep_for_ever();
}

TEST_F(Kill, EndsASleeperBySigterm) {
  KillableThread thread(sleeper, path("ready"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_THROW(thread.getResult(), Killed);
  EXPECT_EQ(thread.report().signal, SIGTERM);
}

TEST_F(Kill, EndsABusyLoopBySigkill) {
  KillableThread thread(
      [](std::string ready) {
        signal_file(ready);
        compute_for_ever();
      },
      path("ready"));
  start(thread);
  thread.kill(20ms);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_EQ(thread.report().signal, SIGKILL);
}

TEST_F(Kill, EndsAWorkerThatIgnoresEverySignal) {
  KillableThread thread(ignorer, path("ready"));
  start(thread);
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_EQ(thread.report().signal, SIGKILL);
}

TEST_F(Kill, EndsAWorkerThatBlocksEverySignal) {
  KillableThread thread(
      [](std::string ready) {
        block_every_signal();
        signal_file(ready);
        sleep_for_ever();
      },
      path("ready"));
  start(thread);
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_EQ(thread.report().signal, SIGKILL);
}

TEST_F(Kill, LetsAStoppedWorkerRunOnToItsEnd) {
  KillableThread thread([] {
    ::raise(SIGSTOP);
    sleep_for_ever();
  });
  thread.start();
  ASSERT_TRUE(eventually([&] { return process_state(thread.get_id()) == 'T'; }));
  // Without the SIGCONT, the SIGTERM would wait for ever.
  thread.kill(kForEver);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_EQ(thread.report().signal, SIGTERM);
}

TEST_F(Kill, EndsAStoppedWorkerThatIgnoresEverySignal) {
  KillableThread thread([] {
    ignore_every_signal();
    ::raise(SIGSTOP);
    sleep_for_ever();
  });
  thread.start();
  ASSERT_TRUE(eventually([&] { return process_state(thread.get_id()) == 'T'; }));
  thread.kill(0ms);
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(Kill, EndsAWorkerInsideSystemAndWhatItRuns) {
  KillableThread thread(
      [](std::string ready) {
        return std::system(("echo $$ > " + ready + ".draft; mv " + ready + ".draft " +
                            ready + "; exec sleep 1000000")
                               .c_str());
      },
      path("ready"));
  thread.start();
  const pid_t shell = await_pid(path("ready"));
  EXPECT_TRUE(is_alive(shell));
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_FALSE(is_alive(shell));
}

TEST_F(Kill, EndsAWorkerWhoseMainThreadHasEnded) {
  KillableThread thread(
      [](std::string ready) {
        std::thread([ready] { sleeper(ready); }).detach();
        // The process goes on, and looks like a zombie.
        ::syscall(SYS_exit, 0);
      },
      path("ready"));
  start(thread);
  EXPECT_TRUE(eventually([&] { return process_state(thread.get_id()) == 'Z'; }));
  EXPECT_TRUE(thread.is_alive());
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(Kill, EndsAFunctionThatSwallowsItsCancellation) {
  KillableThread thread(
      [](std::string log, std::string ready) {
        write_output_to(log);
        try {
          sleeper(ready);
        } catch (...) {
        }
        sleep_for_ever();
      },
      path("log"), path("ready"));
  start(thread);
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(Kill, APthreadExitOfTheFunctionEndsTheCallAsExited) {
  KillableThread thread([] { ::pthread_exit(nullptr); });
  thread.start();
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::exited);
  EXPECT_EQ(thread.report().exit_code, 0);
}

TEST_F(Kill, APthreadExitEndsTheCallAlsoIfOtherThreadsRunOn) {
  KillableThread thread([] {
    std::thread(sleep_for_ever).detach();
    ::pthread_exit(nullptr);
  });
  thread.start();
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::exited);
}

TEST_F(Kill, ReturnsAtOnce) {
  KillableThread thread(ignorer, path("ready"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(thread.is_alive());
  EXPECT_TRUE(is_alive(thread.get_id()));
  EXPECT_FALSE(thread.join(0ns));
  thread.kill(0ms);
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(Kill, SigkillComesNoEarlierThanTheGracePeriod) {
  constexpr auto kGrace = 300ms;
  KillableThread thread({.grace_period = kGrace}, ignorer, path("ready"));
  start(thread);
  const auto killed_at = std::chrono::steady_clock::now();
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_GE(std::chrono::steady_clock::now() - killed_at, kGrace);
}

TEST_F(Kill, ASecondKillCanShortenTheGracePeriod) {
  KillableThread thread(ignorer, path("ready"));
  start(thread);
  thread.kill(kForEver);
  thread.kill(1ms);
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(Kill, ASecondKillCannotExtendTheGracePeriod) {
  KillableThread thread(ignorer, path("ready"));
  start(thread);
  thread.kill(200ms);
  thread.kill(kForEver);
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(Kill, IsIdempotentFromManyThreads) {
  KillableThread thread(sleeper, path("ready"));
  start(thread);
  std::vector<std::jthread> killers;
  for (int i = 0; i < 16; ++i)
    killers.emplace_back([&] {
      for (int j = 0; j < 100; ++j) thread.kill();
    });
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_THROW(thread.getResult(), Killed);
}

TEST_F(Kill, WakesEveryThreadThatIsBlockedInJoin) {
  KillableThread thread(sleeper, path("ready"));
  start(thread);
  std::atomic<int> joining = 0;
  std::atomic<int> woken = 0;
  std::vector<std::jthread> joiners;
  for (int i = 0; i < 8; ++i)
    joiners.emplace_back([&] {
      ++joining;
      thread.join();
      EXPECT_EQ(thread.state(), State::killed);
      ++woken;
    });
  EXPECT_TRUE(eventually([&] { return joining == 8; }));
  EXPECT_EQ(woken, 0);
  thread.kill();
  EXPECT_TRUE(eventually([&] { return woken == 8; }));
}

TEST_F(Kill, WakesAThreadThatIsBlockedInGetResult) {
  KillableThread thread(sleeper, path("ready"));
  start(thread);
  std::atomic<bool> waiting = false;
  std::jthread waiter([&] {
    waiting = true;
    EXPECT_THROW(thread.getResult(), Killed);
  });
  EXPECT_TRUE(eventually([&] { return waiting.load(); }));
  thread.kill();
  waiter.join();
}

TEST_F(Kill, EndsACallWhoseWorkerHasNotEnteredItsFunction) {
  for (int i = 0; i < 100; ++i) {
    KillableThread thread(
        {.start_method = i % 10 == 0 ? StartMethod::spawn : StartMethod::fork_server},
        sleeper, path("ready"));
    thread.start();
    thread.kill(kForEver);
    EXPECT_TRUE(ends_killed(thread));
    EXPECT_EQ(thread.report().signal, SIGTERM);
  }
}

TEST_F(Kill, WhileTheStartIsAtWorkCountsAndTheShortestGracePeriodWins) {
  // Another bound than that of the spares: this start needs a fork.
  KillableThread thread({.max_result_bytes = 1000}, ignorer, path("ready"));
  std::optional<SleepingThread> starter;
  {
    const StoppedSession stopped(the_session());
    starter.emplace([&] { thread.start(); });
    thread.kill(kForEver);
    thread.kill(0ms);
    thread.kill(kForEver);
    thread.raise_exception();
    EXPECT_EQ(thread.state(), State::not_started);
  }
  starter.reset();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_EQ(thread.report().signal, SIGKILL);
}

// --- Without a grace period ---

/// Unless the worker is gone so fast that only the fork server knows what it has left.
TEST_F(Kill, WithoutAGracePeriodNeedsNoForkServer) {
  bool was_early = false;
  for (int attempt = 0; attempt < 100 && !was_early; ++attempt) {
    const std::string ready = path("ready" + std::to_string(attempt));
    KillableThread thread(ignorer, ready);
    thread.start();
    await_file(ready);
    std::future<void> result;
    {
      const StoppedSession stopped(the_session());
      thread.kill(0ms);
      result = std::async(std::launch::async,
                          [&] { EXPECT_THROW(thread.getResult(), Killed); });
      was_early = result.wait_for(100ms) == std::future_status::ready;
      EXPECT_EQ(thread.state(), was_early ? State::killed : State::running);
      EXPECT_FALSE(thread.join(0ms));
    }
    EXPECT_TRUE(ends_killed(thread));
    EXPECT_EQ(thread.report().signal, SIGKILL);
    EXPECT_GT(thread.report().max_rss_bytes, 0u);
  }
  EXPECT_TRUE(was_early);
}

enum class By { thread, child };

void count_for_ever(SharedArray<std::uint64_t> counts, By by) {
  const auto count = [&] {
    for (const std::atomic_ref counter(counts[0]);;) counter.fetch_add(1);
  };
  if (by == By::thread)
    std::thread(count).detach();
  else if (::fork() == 0)
    count();
  sleep_for_ever();
}

TEST_F(Kill, OnceItIsKnownNothingOfTheWorkerRunsOn) {
  for (const By by : {By::thread, By::child}) {
    for (int round = 0; round < 20; ++round) {
      SharedArray<std::uint64_t> counts(1);
      const std::atomic_ref count(counts[0]);
      KillableThread thread(count_for_ever, counts, by);
      thread.start();
      ASSERT_TRUE(eventually([&] { return count.load() != 0; }));
      thread.kill(0ms);
      EXPECT_THROW(thread.getResult(), Killed);
      const std::uint64_t at_the_end = count.load();
      EXPECT_TRUE(ends_killed(thread));
      EXPECT_EQ(count.load(), at_the_end);
    }
  }
}

TEST_F(Kill, BeforeTheStartDoesNothing) {
  KillableThread thread([] { return 7; });
  thread.kill();
  thread.raise_exception();
  EXPECT_FALSE(thread.request_stop());
  EXPECT_EQ(thread.state(), State::not_started);
  thread.start();
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(Kill, AfterAReturnChangesNothing) {
  KillableThread thread([] { return 7; });
  thread.start();
  thread.join();
  thread.kill(0ms);
  thread.raise_exception();
  EXPECT_EQ(thread.state(), State::returned);
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_EQ(thread.report().state, State::returned);
  thread.kill();
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(Kill, AfterAThrowChangesNothing) {
  KillableThread thread([] { throw std::out_of_range("far"); });
  thread.start();
  thread.join();
  thread.kill(0ms);
  EXPECT_EQ(thread.state(), State::threw);
  EXPECT_THROW(thread.getResult(), std::out_of_range);
}

TEST_F(Kill, AfterACrashOrAnExitChangesNothing) {
  KillableThread crashing([] { ::raise(SIGSEGV); });
  KillableThread exiting([] { std::_Exit(3); });
  for (auto* thread : {&crashing, &exiting}) {
    thread->start();
    EXPECT_TRUE(ends(*thread));
    thread->kill(0ms);
  }
  EXPECT_EQ(crashing.state(), State::crashed);
  EXPECT_EQ(crashing.report().signal, SIGSEGV);
  EXPECT_EQ(exiting.state(), State::exited);
  EXPECT_EQ(exiting.report().exit_code, 3);
}

/// Hangs in its destructor, once it has been to a worker.
struct HangsAtTheEnd {
  std::string ready;
  ~HangsAtTheEnd() {
    if (!this_worker::inside() || ready.empty()) return;
    ignorer(ready);
  }
  HangsAtTheEnd() = default;
  explicit HangsAtTheEnd(std::string file) : ready(std::move(file)) {}
  HangsAtTheEnd(HangsAtTheEnd&& other) noexcept : ready(std::exchange(other.ready, {})) {}
  HangsAtTheEnd& operator=(HangsAtTheEnd&& other) noexcept {
    ready = std::exchange(other.ready, {});
    return *this;
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(ready);
  }
};

TEST_F(Kill, ACommittedResultIsDelivered) {
  KillableThread thread([](const HangsAtTheEnd&) { return 7; },
                        HangsAtTheEnd(path("ready")));
  start(thread);
  thread.kill(0ms);
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::returned);
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_EQ(thread.report().state, State::returned);
  EXPECT_FALSE(is_alive(thread.get_id()));
}

TEST_F(Kill, AWorkerThatLingersAfterItsResultIsEndedAfterTheGracePeriod) {
  KillableThread thread([](const HangsAtTheEnd&) { return 7; },
                        HangsAtTheEnd(path("ready")));
  start(thread);
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_TRUE(is_alive(thread.get_id()));
  EXPECT_EQ(thread.report().state, State::returned);
  EXPECT_FALSE(is_alive(thread.get_id()));
}

TEST_F(Kill, TheErrorTellsTheNameAndTheEvidence) {
  KillableThread thread({.name = "decode", .grace_period = 1h}, sleeper, path("ready"));
  start(thread);
  thread.kill();
  try {
    thread.getResult();
    FAIL() << "it returned";
  } catch (const Killed& killed) {
    EXPECT_NE(std::string(killed.what()).find("'decode'"), std::string::npos);
    EXPECT_EQ(killed.report().state, State::killed);
    EXPECT_EQ(killed.report().pid, thread.get_id());
    EXPECT_EQ(killed.report().signal, SIGTERM);
    EXPECT_EQ(killed.report().exit_code, std::nullopt);
    EXPECT_GT(killed.report().max_rss_bytes, 0u);
  }
}

TEST_F(Kill, TheReportHasTheProcessorTimeOfWhatWasKilled) {
  const auto killed = [this](void (*function)(std::string), const std::string& ready) {
    KillableThread thread(function, path(ready));
    thread.start();
    await_file(path(ready));
    const auto wall = [&, began = std::chrono::steady_clock::now()] {
      return std::chrono::steady_clock::now() - began;
    };
    while (wall() < 50ms) std::this_thread::yield();
    thread.kill(0ms);
    thread.join();
    return thread.report();
  };
  const Report spinner = killed(
      [](std::string ready) {
        signal_file(ready);
        compute_for_ever();
      },
      "spinning");
  EXPECT_GT(spinner.user_cpu, 0ns);
  // Some of it was spent before the function's entry, where `wall` begins.
  EXPECT_LT(spinner.user_cpu, 2 * spinner.wall);
  const Report waiter = killed(sleeper, "sleeping");
  EXPECT_LT(waiter.user_cpu + waiter.system_cpu, waiter.wall / 2);
}

TEST_F(Kill, ASigkillFromElsewhereIsNotReportedAsOurs) {
  KillableThread thread(sleeper, path("ready"));
  start(thread);
  ::kill(thread.get_id(), SIGKILL);
  EXPECT_TRUE(ends(thread));
  thread.kill();
  EXPECT_EQ(thread.state(), State::crashed);
  EXPECT_EQ(thread.report().signal, SIGKILL);
}

}  // namespace
}  // namespace killable::test
