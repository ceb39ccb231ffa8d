#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <exception>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/child_host.hpp"
#include "support/fixture.hpp"
#include "support/sanitizers.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Calls : public NothingIsLeft {};

int add(int a, int b) { return a + b; }
int add_noexcept(int a, int b) noexcept { return a + b; }

void wait_for_ever() {
  for (;;) ::pause();
}

/// Runs until the test, or another worker, signals `file`.
void wait_for(std::string file) { await_file(file); }

// --- What can be called ---

TEST_F(Calls, AFunctionPointerRuns) { EXPECT_EQ(call(add, 2, 3), 5); }

TEST_F(Calls, ANoexceptFunctionRuns) { EXPECT_EQ(call(&add_noexcept, 2, 3), 5); }

TEST_F(Calls, ACapturelessLambdaRuns) {
  EXPECT_EQ(call([](std::string s, int n) { return s + std::to_string(n); }, "a", 1),
            "a1");
}

struct Doubler {
  template <class T>
  T operator()(T value) const {
    return value + value;
  }
};

TEST_F(Calls, AnEmptyFunctionObjectRuns) {
  EXPECT_EQ(call(Doubler(), 21), 42);
  EXPECT_EQ(call(Doubler(), "ab"), "abab");
  EXPECT_EQ(call(std::plus<>(), 2, 3), 5);
}

TEST_F(Calls, AFunctionThatReturnsNothingRuns) {
  call([](std::string file) { signal_file(file, "ran"); }, path("ran"));
  EXPECT_EQ(await_file(path("ran")), "ran");
}

TEST_F(Calls, AFunctionChosenAtRunTimeRuns) {
  for (double (*function)(double) :
       {+[](double x) { return x / 2; }, +[](double x) { return x * x; }}) {
    EXPECT_EQ(call(function, 8.0), function(8.0));
  }
}

TEST_F(Calls, ASpawnedWorkerRunsThemToo) {
  const Options spawn{.start_method = StartMethod::spawn};
  EXPECT_EQ(call(spawn, add, 2, 3), 5);
  EXPECT_EQ(call(
                spawn, [](std::string s) { return s + "!"; }, "a"),
            "a!");
  EXPECT_EQ(call(spawn, Doubler(), 21), 42);
}

// --- Where it runs ---

TEST_F(Calls, TheFunctionRunsInAnotherProcessWhosePidIsItsId) {
  KillableThread thread(::getpid);
  thread.start();
  const pid_t id = thread.get_id();
  EXPECT_EQ(thread.getResult(), id);
  EXPECT_NE(id, ::getpid());
  EXPECT_EQ(thread.get_id(), id);
}

TEST_F(Calls, TwoAtOnceRunInTwoProcesses) {
  const auto meet = [](std::string mine, std::string theirs) {
    signal_file(mine);
    wait_for(theirs);
    return ::getpid();
  };
  KillableThread one(meet, path("one"), path("two"));
  KillableThread two(meet, path("two"), path("one"));
  one.start();
  two.start();
  EXPECT_NE(one.getResult(), two.getResult());
}

int nest(int depth) { return depth == 0 ? 0 : 1 + call(nest, depth - 1); }

TEST_F(Calls, AWorkerStartsCallsOfItsOwnThreeLevelsDeep) { EXPECT_EQ(call(nest, 3), 3); }

TEST_F(Calls, AnInnerCallThatCrashesIsTheOuterFunctionsToCatch) {
  const auto outer = [] {
    try {
      call([] { ::raise(SIGSEGV); });
    } catch (const WorkerCrashed& crashed) {
      return crashed.signal();
    }
    return 0;
  };
  EXPECT_EQ(call(outer), SIGSEGV);
}

// --- start ---

TEST_F(Calls, NothingRunsBeforeTheStart) {
  const KillableThread thread(wait_for_ever);
  EXPECT_EQ(thread.state(), State::not_started);
  EXPECT_FALSE(thread.is_alive());
  EXPECT_TRUE(strays().empty());
}

TEST_F(Calls, StartTwiceIsALogicError) {
  KillableThread thread(add, 1, 2);
  thread.start();
  EXPECT_THROW(thread.start(), std::logic_error);
  EXPECT_EQ(thread.getResult(), 3);
  EXPECT_THROW(thread.start(), std::logic_error);
}

TEST_F(Calls, WhatIsNotStartedThrowsInsteadOfWaiting) {
  KillableThread thread(add, 1, 2);
  EXPECT_THROW(thread.getResult(), std::logic_error);
  EXPECT_THROW(thread.join(), std::logic_error);
  EXPECT_THROW(thread.join(1s), std::logic_error);
  EXPECT_THROW(thread.get_id(), std::logic_error);
  EXPECT_THROW(wait_any(std::span(&thread, 1)), std::logic_error);
  EXPECT_FALSE(thread.request_stop());
  thread.start();
  EXPECT_EQ(thread.getResult(), 3);
}

// --- join ---

TEST_F(Calls, JoinWithNothingToWaitForReturnsAtOnce) {
  KillableThread thread(wait_for_ever);
  thread.start();
  EXPECT_FALSE(thread.join(0ns));
  EXPECT_FALSE(thread.join(-1s));
  EXPECT_FALSE(thread.join(std::chrono::nanoseconds::min()));
  EXPECT_TRUE(thread.is_alive());
}

TEST_F(Calls, AJoinTimeoutLeavesTheWorkerAlive) {
  KillableThread thread(wait_for, path("go"));
  thread.start();
  EXPECT_FALSE(thread.join(20ms));
  EXPECT_FALSE(thread.join(20ms));
  EXPECT_TRUE(thread.is_alive());
  EXPECT_TRUE(is_alive(thread.get_id()));
  signal_file(path("go"));
  EXPECT_NO_THROW(thread.getResult());
}

TEST_F(Calls, JoinWaitsNoShorterThanItsTimeout) {
  KillableThread thread(wait_for_ever);
  thread.start();
  const auto before = std::chrono::steady_clock::now();
  EXPECT_FALSE(thread.join(50ms));
  EXPECT_GE(std::chrono::steady_clock::now() - before, 50ms);
}

TEST_F(Calls, JoinWorksAnyNumberOfTimes) {
  KillableThread thread(add, 1, 2);
  thread.start();
  thread.join();
  thread.join();
  EXPECT_TRUE(thread.join(0ns));
  EXPECT_TRUE(thread.join(-1s));
  EXPECT_TRUE(thread.join(std::chrono::nanoseconds::max()));
  EXPECT_EQ(thread.getResult(), 3);
}

// --- getResult ---

TEST_F(Calls, TheValueReturnedEqualsTheValueComputed) {
  const auto compute = [](int n) {
    std::vector<double> roots;
    for (int i = 0; i < n; ++i) roots.push_back(std::sqrt(i));
    return roots;
  };
  EXPECT_EQ(call(compute, 1000), compute(1000));
}

TEST_F(Calls, GetResultTwiceGivesEqualValuesAlsoForMoveOnlyTypes) {
  KillableThread thread([] { return std::make_unique<int>(7); });
  thread.start();
  EXPECT_EQ(*thread.getResult(), 7);
  EXPECT_EQ(*thread.getResult(), 7);
}

TEST_F(Calls, GetResultTwiceThrowsAFreshExceptionEachTime) {
  KillableThread thread([]() -> int { throw std::out_of_range("beyond"); });
  thread.start();
  std::vector<std::exception_ptr> caught;
  for (int i = 0; i < 2; ++i) {
    try {
      thread.getResult();
    } catch (const std::out_of_range& error) {
      EXPECT_STREQ(error.what(), "beyond");
      caught.push_back(std::current_exception());
    }
  }
  ASSERT_EQ(caught.size(), 2u);
  EXPECT_NE(caught[0], caught[1]);
}

TEST_F(Calls, GetResultOfACallThatEndedBadlyThrowsEachTime) {
  KillableThread thread([] { ::_exit(9); });
  thread.start();
  EXPECT_THROW(thread.getResult(), WorkerExited);
  EXPECT_THROW(thread.getResult(), WorkerExited);
}

// --- Handles ---

TEST_F(Calls, ADroppedHandleEndsItsWorker) {
  pid_t worker = 0;
  {
    KillableThread thread(wait_for_ever);
    thread.start();
    worker = thread.get_id();
    EXPECT_TRUE(is_alive(worker));
  }
  EXPECT_FALSE(is_alive(worker));
}

TEST_F(Calls, AssigningToAHandleEndsTheCallThatItHad) {
  KillableThread thread(wait_for_ever);
  thread.start();
  const pid_t worker = thread.get_id();
  thread = KillableThread(wait_for, path("go"));
  EXPECT_FALSE(is_alive(worker));
  thread.start();
  signal_file(path("go"));
  thread.join();
  EXPECT_EQ(thread.state(), State::returned);
}

TEST_F(Calls, AHandleMovesWhileItsCallRuns) {
  KillableThread first(wait_for, path("go"));
  first.start();
  const pid_t id = first.get_id();
  KillableThread second(std::move(first));
  EXPECT_TRUE(second.is_alive());
  EXPECT_EQ(second.get_id(), id);
  std::vector<KillableThread<void>> many;
  many.push_back(std::move(second));
  many.reserve(many.capacity() + 1);
  signal_file(path("go"));
  many[0].join();
  EXPECT_EQ(many[0].state(), State::returned);
}

TEST_F(Calls, AHandleMovesWhileAnotherOneOfItsRangeIsWaitedFor) {
  std::vector<KillableThread<void>> calls;
  calls.emplace_back(wait_for_ever);
  calls.emplace_back(wait_for, path("go"));
  for (auto& each : calls) each.start();
  EXPECT_FALSE(wait_any(calls, 10ms).has_value());
  signal_file(path("go"));
  EXPECT_EQ(wait_any(calls), 1u);
}

/// In kilobytes, from /proc/self/status: private memory and what is mapped of memfds.
long resident_kilobytes() {
  long total = 0;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:") || line.starts_with("RssShmem:"))
      total += std::stol(line.substr(line.find(':') + 1));
  return total;
}

TEST_F(Calls, TheArgumentsMemoryIsReleasedWhileTheCallsStillRun) {
  // Each byte written takes another four of ThreadSanitizer's shadow.
  constexpr std::size_t kMegabytes = kThreadSanitizer ? 4 : 40;
  const std::string argument(kMegabytes << 20, 'x');
  constexpr int kCalls = 10;
  const long before = resident_kilobytes();
  std::vector<KillableThread<void>> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.emplace_back([](std::string_view, std::string file) { wait_for(file); },
                       argument, path("go"));
    calls.back().start();
  }
  // Less than all of them: AddressSanitizer keeps up to 256 MB of freed memory back.
  EXPECT_LT(resident_kilobytes() - before, kCalls * long{kMegabytes} * 1024 * 3 / 4);
  signal_file(path("go"));
  for (auto& each : calls) EXPECT_NO_THROW(each.getResult());
}

TEST_F(Calls, TheHostsArgumentsAreItsOwnAgainOnceTheHandleIsMade) {
  auto text = std::make_shared<std::string>("before");
  KillableThread thread([](std::shared_ptr<std::string> s) { return *s; }, text);
  EXPECT_EQ(text.use_count(), 1);
  *text = "after";
  thread.start();
  EXPECT_EQ(thread.getResult(), "before");
}

// --- fork(2) ---

TEST_F(Calls, AChildOfTheHostHasAForkServerOfItsOwn) {
  const pid_t server = the_process_named("killable-server");
  ChildHost child([&] {
    EXPECT_EQ(call(add, 2, 3), 5);
    EXPECT_NE(call(::getppid), server);
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(call(::getppid), server);
  EXPECT_TRUE(eventually(only_our_own_are_left));
}

TEST_F(Calls, AChildOfTheHostHasNoHoldOnItsCalls) {
  KillableThread running(wait_for, path("go"));
  KillableThread done(add, 1, 2);
  running.start();
  done.start();
  EXPECT_EQ(done.getResult(), 3);
  ChildHost child([&] {
    EXPECT_EQ(running.state(), State::lost);
    EXPECT_THROW(running.getResult(), WorkerLost);
    EXPECT_EQ(done.state(), State::lost);
    running.kill(0ms);
    running = KillableThread(wait_for, path("never"));
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_TRUE(running.is_alive());
  EXPECT_EQ(done.getResult(), 3);
  signal_file(path("go"));
  running.join();
  EXPECT_EQ(running.state(), State::returned);
}

TEST_F(Calls, ACallMadeBeforeAForkIsTheParentsToStart) {
  KillableThread thread(add, 1, 2);
  ChildHost child([&] { EXPECT_THROW(thread.start(), std::logic_error); });
  EXPECT_EQ(child.join(), 0);
  thread.start();
  EXPECT_EQ(thread.getResult(), 3);
}

// --- Options ---

TEST_F(Calls, OptionsOutOfRangeAreInvalidArgumentsBeforeAnythingStarts) {
  const auto make = [](Options options) { KillableThread(options, add, 1, 1); };
  EXPECT_THROW(make({.timeout = 0ns}), std::invalid_argument);
  EXPECT_THROW(make({.timeout = -1s}), std::invalid_argument);
  EXPECT_THROW(make({.grace_period = -1ms}), std::invalid_argument);
  EXPECT_THROW(make({.max_result_bytes = std::numeric_limits<std::size_t>::max()}),
               std::invalid_argument);
  EXPECT_THROW(configure({.worker_path = "killable-worker"}), std::invalid_argument);
}

TEST_F(Calls, TheLargestOptionsMeanForEver) {
  const Options options{.timeout = std::chrono::nanoseconds::max(),
                        .grace_period = std::chrono::milliseconds::max()};
  EXPECT_EQ(call(options, add, 2, 3), 5);
  const auto cooperative = [](std::stop_token token, std::string file) {
    signal_file(file);
    while (!token.stop_requested()) ::usleep(1000);
    ::usleep(20'000);
    return 7;
  };
  KillableThread thread(options, cooperative, path("ready"));
  start(thread);
  thread.kill();
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(Calls, ANameOfAnyLengthIsCut) {
  const std::string name(10'000, 'n');
  KillableThread thread({.name = name}, add, 2, 3);
  thread.start();
  EXPECT_EQ(thread.getResult(), 5);
  EXPECT_EQ(thread.name(), name);
}

}  // namespace
}  // namespace killable::test
