#include <killable/killable.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/sanitizers.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using ::testing::AnyOf;

class KillRace : public NothingIsLeft {
 protected:
  /// Somewhere in the first `range`, which it passes computing: a sleep is too coarse.
  void pass_random_time(nanoseconds range) {
    const auto until =
        steady_clock::now() + nanoseconds(std::uniform_int_distribution<std::int64_t>(
                                  0, range.count())(random_));
    while (steady_clock::now() < until) {
    }
  }

  std::mt19937 random_{20};
};

/// `count` numbers that all depend on `seed`, so that no two results have a part in
/// common.
std::vector<std::uint32_t> numbers(std::uint32_t seed, std::size_t count) {
  std::vector<std::uint32_t> result(count);
  std::iota(result.begin(), result.end(), seed * 100'003);
  return result;
}

template <class Step>
nanoseconds median_time(int rounds, Step step) {
  std::vector<nanoseconds> times;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = steady_clock::now();
    step();
    times.push_back(steady_clock::now() - begin);
  }
  std::ranges::nth_element(times, times.begin() + rounds / 2);
  return times[rounds / 2];
}

TEST_F(KillRace, AgainstCompletionGivesTheWholeResultOrKilledTenThousandTimes) {
  static constexpr std::size_t kCount = 2000;
  const nanoseconds usual = median_time(101, [] {
    KillableThread thread(numbers, 1u, +kCount);
    thread.start();
    thread.join();
  });
  int returned = 0;
  int killed = 0;
  const auto rounds = static_cast<std::uint32_t>(repetitions(10'000));
  for (std::uint32_t i = 0; i < rounds; ++i) {
    KillableThread thread(numbers, i, kCount);
    thread.start();
    pass_random_time(usual);
    thread.kill(i % 2 == 0 ? 0ms : 100ms);
    ASSERT_TRUE(ends(thread));
    if (thread.state() == State::returned) {
      ASSERT_EQ(thread.getResult(), numbers(i, kCount));
      ++returned;
    } else {
      ASSERT_EQ(thread.state(), State::killed);
      ASSERT_THROW(thread.getResult(), Killed);
      ++killed;
    }
  }
  // Else it was no race.
  EXPECT_GT(returned, 0);
  EXPECT_GT(killed, 0);
}

/// Takes long enough to be killed meanwhile; under a sanitizer much less does.
constexpr std::size_t kLarge = kSanitizer ? 5'000'000 : 100'000'000;

std::size_t count_zeroes(const std::vector<char>& bytes) {
  return static_cast<std::size_t>(std::ranges::count(bytes, '\0'));
}

std::vector<char> make_ones(std::size_t size) { return std::vector<char>(size, '\1'); }

TEST_F(KillRace, DuringALargeArgumentLeavesTheNextCallUnharmed) {
  const std::vector<char> bytes(kLarge);
  const auto usual = median_time(1, [&] {
    KillableThread thread(count_zeroes, bytes);
    thread.start();
    thread.join();
  });
  for (int i = 0; i < 4; ++i) {
    KillableThread thread(count_zeroes, bytes);
    // From the copying of the arguments on, which start() does.
    std::jthread killer([&] {
      pass_random_time(usual);
      thread.kill(i % 2 == 0 ? 0ms : 100ms);
    });
    thread.start();
    ASSERT_TRUE(ends(thread));
    EXPECT_THAT(thread.state(), AnyOf(State::returned, State::killed));
  }
  EXPECT_EQ(call(count_zeroes, bytes), kLarge);
}

TEST_F(KillRace, DuringALargeResultLeavesTheNextCallUnharmed) {
  const auto usual = median_time(1, [] {
    KillableThread thread(make_ones, kLarge);
    thread.start();
    thread.join();
  });
  for (int i = 0; i < 4; ++i) {
    KillableThread thread(make_ones, kLarge);
    thread.start();
    pass_random_time(usual);
    thread.kill(i % 2 == 0 ? 0ms : 100ms);
    ASSERT_TRUE(ends(thread));
    ASSERT_THAT(thread.state(), AnyOf(State::returned, State::killed));
    if (thread.state() == State::returned) {
      EXPECT_EQ(thread.getResult(), make_ones(kLarge));
    }
  }
  EXPECT_EQ(call(make_ones, kLarge), make_ones(kLarge));
}

TEST_F(KillRace, FromManyThreadsHitsNoOtherCall) {
  std::vector<std::jthread> hosts;
  const auto rounds = static_cast<std::uint32_t>(repetitions(100));
  for (std::uint32_t host = 0; host < 8; ++host)
    hosts.emplace_back([host, rounds] {
      for (std::uint32_t i = 0; i < rounds; ++i) {
        KillableThread victim(sleep_for_ever);
        victim.start();
        KillableThread bystander(numbers, host * 1000 + i, std::size_t{100});
        bystander.start();
        victim.kill(i % 2 == 0 ? 0ms : 100ms);
        EXPECT_EQ(bystander.getResult(), numbers(host * 1000 + i, 100));
        EXPECT_TRUE(ends_killed(victim));
      }
    });
}

// --- A process id that somebody else has by now --------------------------------------------

/// A child that has the process id `wanted` and waits for a signal. See clone(2),
/// set_tid: it takes CAP_CHECKPOINT_RESTORE.
class Namesake {
 public:
  explicit Namesake(pid_t wanted) {
    clone_args arguments{};
    arguments.exit_signal = SIGCHLD;
    arguments.set_tid = reinterpret_cast<std::uintptr_t>(&wanted);
    arguments.set_tid_size = 1;
    // The id is free once the fork server has reaped, but init(1) may be slower than
    // that.
    pid_ = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
    if (pid_ == 0) sleep_for_ever();
  }
  ~Namesake() {
    if (pid_ == -1) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Namesake(const Namesake&) = delete;
  Namesake& operator=(const Namesake&) = delete;

  bool exists() const noexcept { return pid_ != -1; }
  bool is_unharmed() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info,
                    WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
  }

 private:
  pid_t pid_;
};

TEST_F(KillRace, AfterTheReapingNoSignalReachesARecycledPid) {
  for (int round = 0; round < repetitions(20); ++round) {
    KillableThread returned([] { return 7; });
    KillableThread killed([] {
      sleep_for_ever();
      return 0;
    });
    KillableThread crashed([] {
      ::raise(SIGKILL);
      return 0;
    });
    killed.start();
    killed.kill();
    for (auto* thread : {&returned, &crashed}) thread->start();
    for (auto* thread : {&returned, &killed, &crashed}) {
      ASSERT_TRUE(ends(*thread));
      thread->report();
      const Namesake namesake(thread->get_id());
      if (errno == EPERM && !namesake.exists())
        GTEST_SKIP() << "cannot choose a process id without CAP_CHECKPOINT_RESTORE";
      ASSERT_TRUE(namesake.exists()) << "clone3: errno " << errno;
      thread->kill(0ms);
      thread->kill();
      thread->raise_exception();
      thread->request_stop();
      *thread = KillableThread([] { return 8; });
      thread->start();
      // The fork server takes one message after the other: by now it has had those above.
      EXPECT_EQ(thread->getResult(), 8);
      thread->report();
      EXPECT_TRUE(namesake.is_unharmed());
    }
  }
}

}  // namespace
}  // namespace killable::test
