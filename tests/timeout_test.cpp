#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "support/child_host.hpp"
#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Timeout : public NothingIsLeft {};

TEST_F(Timeout, EndsASleeper) {
  KillableThread thread({.timeout = 50ms, .grace_period = kForEver}, sleep_for_ever);
  thread.start();
  EXPECT_TRUE(times_out(thread));
  EXPECT_THROW(thread.getResult(), TimedOut);
  EXPECT_EQ(thread.report().signal, SIGTERM);
}

TEST_F(Timeout, EndsABusyLoop) {
  KillableThread thread({.timeout = 50ms, .grace_period = 20ms}, compute_for_ever);
  thread.start();
  EXPECT_TRUE(times_out(thread));
  EXPECT_EQ(thread.report().signal, SIGKILL);
}

TEST_F(Timeout, EndsAWorkerThatIgnoresEverySignal) {
  KillableThread thread({.timeout = 50ms, .grace_period = 20ms}, [] {
    ignore_every_signal();
    sleep_for_ever();
  });
  thread.start();
  EXPECT_TRUE(times_out(thread));
}

TEST_F(Timeout, EndsAStoppedWorker) {
  KillableThread thread({.timeout = 50ms, .grace_period = kForEver}, [] {
    ::raise(SIGSTOP);
    sleep_for_ever();
  });
  thread.start();
  EXPECT_TRUE(times_out(thread));
}

TEST_F(Timeout, EndsACallThatIsServedByAFreshExec) {
  KillableThread thread({.start_method = StartMethod::spawn, .timeout = 50ms},
                        sleep_for_ever);
  thread.start();
  EXPECT_TRUE(times_out(thread));
}

TEST_F(Timeout, EndsAForkOfTheHost) {
  KillableThread thread({.timeout = 50ms}, forked([this] { sleep_for_ever(); }));
  thread.start();
  EXPECT_TRUE(times_out(thread));
}

TEST_F(Timeout, OfACallThatMeetsItDoesNothing) {
  KillableThread thread({.timeout = kForEver}, [] { return 7; });
  thread.start();
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_EQ(thread.report().state, State::returned);
}

TEST_F(Timeout, ThatIsTooLongToAddNeverComes) {
  KillableThread thread({.timeout = std::chrono::nanoseconds::max()}, [] { return 7; });
  thread.start();
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(Timeout, MustBePositive) {
  EXPECT_THROW(KillableThread({.timeout = 0ns}, sleep_for_ever), std::invalid_argument);
  EXPECT_THROW(KillableThread({.timeout = -1s}, sleep_for_ever), std::invalid_argument);
}

TEST_F(Timeout, TheErrorCarriesItsLimitAndIsAlsoKilled) {
  KillableThread thread({.name = "solve", .timeout = 70ms}, sleep_for_ever);
  thread.start();
  try {
    thread.getResult();
    FAIL() << "it returned";
  } catch (const Killed& killed) {
    const auto* timed_out = dynamic_cast<const TimedOut*>(&killed);
    ASSERT_NE(timed_out, nullptr);
    EXPECT_EQ(timed_out->timeout(), 70ms);
    EXPECT_EQ(timed_out->report().state, State::timed_out);
    EXPECT_EQ(timed_out->report().pid, thread.get_id());
    EXPECT_NE(std::string(killed.what()).find("'solve'"), std::string::npos);
    EXPECT_NE(std::string(killed.what()).find("70 ms"), std::string::npos);
  }
}

TEST_F(Timeout, ComesNoEarlierThanItsTimeAndTheReportSaysSo) {
  constexpr auto kTimeout = 200ms;
  const auto started_at = std::chrono::steady_clock::now();
  KillableThread thread({.timeout = kTimeout}, sleep_for_ever);
  thread.start();
  EXPECT_TRUE(times_out(thread));
  EXPECT_GE(std::chrono::steady_clock::now() - started_at, kTimeout);
  EXPECT_GE(thread.report().wall, kTimeout);
}

TEST_F(Timeout, AKillThatCameFirstIsReportedAsKilled) {
  KillableThread thread({.timeout = kForEver}, sleep_for_ever);
  thread.start();
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(Timeout, AValueReturnedWithinTheGracePeriodIsDelivered) {
  KillableThread thread({.timeout = 500ms, .grace_period = kForEver},
                        [](std::stop_token stop) {
                          while (!stop.stop_requested()) ::usleep(1000);
                          return 7;
                        });
  thread.start();
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_EQ(thread.report().state, State::returned);
}

/// Hangs in its destructor, in a worker only: when the result is in.
struct HangsAtTheEnd {
  bool hangs = false;
  HangsAtTheEnd() = default;
  explicit HangsAtTheEnd(bool h) : hangs(h) {}
  HangsAtTheEnd(HangsAtTheEnd&& other) noexcept
      : hangs(std::exchange(other.hangs, false)) {}
  HangsAtTheEnd& operator=(HangsAtTheEnd&& other) noexcept {
    hangs = std::exchange(other.hangs, false);
    return *this;
  }
  ~HangsAtTheEnd() {
    if (hangs && this_worker::inside()) sleep_for_ever();
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(hangs);
  }
};

TEST_F(Timeout, ACommittedResultWins) {
  KillableThread thread(
      {.timeout = 1s}, [](const HangsAtTheEnd&) { return 7; }, HangsAtTheEnd(true));
  thread.start();
  // Its worker is there until the timeout ends it.
  EXPECT_TRUE(eventually([&] { return !is_alive(thread.get_id()); }));
  EXPECT_EQ(thread.state(), State::returned);
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_EQ(thread.report().state, State::returned);
}

/// Takes long to decode.
struct Slow {
  template <class Archive>
  void save(Archive& archive) const {
    archive(1);
  }
  template <class Archive>
  void load(Archive& archive) {
    int ignored = 0;
    archive(ignored);
    std::this_thread::sleep_for(500ms);
  }
};

TEST_F(Timeout, TheClockStartsAtTheFunctionsEntry) {
  KillableThread thread(
      {.timeout = 250ms, .grace_period = kForEver}, [](const Slow&) { return 7; },
      Slow());
  thread.start();
  EXPECT_EQ(thread.getResult(), 7);
  KillableThread endless(
      {.timeout = 50ms}, [](const Slow&) { sleep_for_ever(); }, Slow());
  endless.start();
  EXPECT_TRUE(times_out(endless));
  EXPECT_GE(endless.report().wall, 50ms);
}

TEST_F(Timeout, LargeArgumentsDoNotCount) {
  const std::deque<std::vector<std::string>> large(200'000, {"a", "b", "c", "d"});
  const auto size_of = [](const std::deque<std::vector<std::string>>& all) {
    return all.size();
  };
  KillableThread unlimited(size_of, large);
  const auto begin = std::chrono::steady_clock::now();
  unlimited.start();
  EXPECT_EQ(unlimited.getResult(), large.size());
  // Nearly all of that time was spent on decoding.
  const auto timeout = (std::chrono::steady_clock::now() - begin) / 4;
  KillableThread thread({.timeout = timeout, .grace_period = kForEver}, size_of, large);
  thread.start();
  EXPECT_EQ(thread.getResult(), large.size());
}

TEST_F(Timeout, HundredsExpireTogetherWithoutWaitingForEachOther) {
  // One after the other, their grace periods alone would take longer than the watchdog.
  constexpr int kCalls = 200;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<KillableThread<void>> threads;
  for (int i = 0; i < kCalls; ++i) {
    threads.emplace_back(Options{.timeout = 200ms, .grace_period = 1s}, [] {
      ignore_every_signal();
      sleep_for_ever();
    });
    threads.back().start();
  }
  for (auto& thread : threads) EXPECT_TRUE(times_out(thread));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kWatchdog);
}

TEST_F(Timeout, ComesWhileTheHostIsStopped) {
  // Long enough for the host to be stopped before: on a busy machine only some such time.
  bool was_alive = false;
  for (auto timeout = 250ms; !was_alive && timeout < kWatchdog; timeout *= 2) {
    const std::string file = path(std::to_string(timeout.count()));
    const ChildHost host([&] {
      KillableThread thread(
          {.timeout = timeout},
          [](std::string id) {
            signal_file(id, std::to_string(::getpid()));
            sleep_for_ever();
          },
          file);
      thread.start();
      sleep_for_ever();
    });
    const pid_t worker = await_pid(file);
    host.stop();
    was_alive = is_alive(worker);
    EXPECT_TRUE(eventually([&] { return !is_alive(worker); }));
    EXPECT_EQ(process_state(host.pid()), 'T');
  }
  EXPECT_TRUE(was_alive) << "each timeout came before the host was stopped";
}

TEST_F(Timeout, ComesAlsoIfNobodyWaitsForIt) {
  KillableThread thread({.timeout = 100ms}, sleep_for_ever);
  thread.start();
  const pid_t worker = thread.get_id();
  EXPECT_TRUE(eventually([&] { return !is_alive(worker); }));
  EXPECT_TRUE(times_out(thread));
}

/// A hundred times the timeout: what a busy machine may add.
constexpr auto kNotDelayed = 10s;

TEST_F(Timeout, IsNotDelayedByAFloodOfOutput) {
  KillableThread thread({.timeout = 100ms, .grace_period = 20ms}, [] {
    write_output_to("/dev/null");
    ignore_every_signal();
    const std::string block(1 << 16, 'x');
    for (;;) [[maybe_unused]] const ssize_t n = ::write(1, block.data(), block.size());
  });
  thread.start();
  EXPECT_TRUE(times_out(thread));
  EXPECT_LT(thread.report().wall, kNotDelayed);
}

TEST_F(Timeout, IsNotDelayedByOutputThatNobodyReads) {
  KillableThread thread({.timeout = 100ms, .grace_period = kForEver}, [] {
    int fds[2];
    if (::pipe(fds) != 0) std::abort();
    ::dup2(fds[1], STDOUT_FILENO);
    const std::string block(1 << 16, 'x');
    for (;;) [[maybe_unused]] const ssize_t n = ::write(1, block.data(), block.size());
  });
  thread.start();
  EXPECT_TRUE(times_out(thread));
  EXPECT_LT(thread.report().wall, kNotDelayed);
}

}  // namespace
}  // namespace killable::test
