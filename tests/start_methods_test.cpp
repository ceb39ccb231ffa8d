#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

/// The ways to run a function: in a fork of the fork server, in a fresh exec, in a fork
/// of the host, and in the host itself.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

int host_state = 0;  ///< What the host has changed, a clean image has not.

class StartMethods : public NothingIsLeft {
 protected:
  StartMethods() { host_state = 1; }
};
class Spawn : public StartMethods {};
class ForkedHost : public StartMethods {};
class Inline : public StartMethods {};

const Options kSpawn{.start_method = StartMethod::spawn};

// --- StartMethod::spawn ----------------------------------------------------------------

/// Where code, heap and stack are.
std::vector<std::uintptr_t> layout() {
  const auto on_heap = std::make_unique<int>();
  const int on_stack = 0;
  return {reinterpret_cast<std::uintptr_t>(&layout),
          reinterpret_cast<std::uintptr_t>(on_heap.get()),
          reinterpret_cast<std::uintptr_t>(&on_stack)};
}

/// The 16 bytes that the kernel gives to each exec. See getauxval(3).
std::string exec_random() {
  return {reinterpret_cast<const char*>(::getauxval(AT_RANDOM)), 16};
}

bool layouts_are_random() {
  std::ifstream file("/proc/sys/kernel/randomize_va_space");
  int level = 0;
  return file >> level && level == 2;
}

TEST_F(Spawn, ReturnsThrowsAndDies) {
  EXPECT_EQ(call(
                kSpawn, [](int a, int b) { return a + b; }, 2, 3),
            5);
  EXPECT_THROW(call(kSpawn, [] { throw std::out_of_range("far"); }), std::out_of_range);
  KillableThread thread(kSpawn, sleep_for_ever);
  thread.start();
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(Spawn, IsAFreshExecForEachCall) {
  const std::string first = call(kSpawn, exec_random);
  EXPECT_NE(call(kSpawn, exec_random), first);
  // The default is a copy of one image.
  EXPECT_EQ(call(exec_random), call(exec_random));
}

TEST_F(Spawn, GivesEachCallAnAddressSpaceLayoutOfItsOwn) {
  if (layouts_are_random()) {
    EXPECT_NE(call(kSpawn, layout), call(kSpawn, layout));
  }
  EXPECT_EQ(call(layout)[0], call(layout)[0]);
}

TEST_F(Spawn, StartsFromTheCleanImage) {
  EXPECT_EQ(call(kSpawn, [] { return host_state; }), 0);
}

TEST_F(Spawn, RunsInTheProcessThatGetIdNames) {
  KillableThread thread(kSpawn, ::getpid);
  thread.start();
  EXPECT_EQ(thread.getResult(), thread.get_id());
}

TEST_F(Spawn, RunsManyAtOnce) {
  std::vector<KillableThread<int>> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back(
        kSpawn, [](int n) { return n; }, i);
    threads.back().start();
  }
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(threads[static_cast<std::size_t>(i)].getResult(), i);
}

// --- forked() --------------------------------------------------------------------------

TEST_F(ForkedHost, HasTheCapturesAndAllElseOfTheHost) {
  const std::vector<int> captured{1, 2, 3};
  EXPECT_EQ(call(forked([&captured] { return captured; })), captured);
  EXPECT_EQ(call(forked([] { return host_state; })), 1);
}

TEST_F(ForkedHost, TakesWhatCannotBeEncoded) {
  const auto pointer = std::make_unique<int>(7);
  EXPECT_EQ(call(forked([raw = pointer.get()](int n) { return *raw + n; }), 1), 8);
}

TEST_F(ForkedHost, ChangesNothingInTheHost) {
  int captured = 1;
  EXPECT_EQ(call(forked([&captured] { return captured = host_state = 2; })), 2);
  EXPECT_EQ(captured, 1);
  EXPECT_EQ(host_state, 1);
}

TEST_F(ForkedHost, SeesTheHostAsItIsAtTheStart) {
  int captured = 1;
  KillableThread thread(forked([&captured] { return captured; }));
  captured = 2;
  thread.start();
  captured = 3;
  EXPECT_EQ(thread.getResult(), 2);
}

TEST_F(ForkedHost, ThrowsAndDies) {
  EXPECT_THROW(call(forked([this] { throw std::out_of_range(path("far")); })),
               std::out_of_range);
  KillableThread thread(forked([this] {
    signal_file(path("ready"));
    sleep_for_ever();
  }));
  start(thread);
  thread.kill(1h);
  EXPECT_TRUE(ends_killed(thread));
}

TEST_F(ForkedHost, LeavesOtherCallsAlone) {
  KillableThread other(sleep_for_ever);
  other.start();
  EXPECT_EQ(call(forked([&] { return other.state(); })), State::lost);
  EXPECT_TRUE(other.is_alive());
  other.kill();
  EXPECT_TRUE(ends_killed(other));
}

TEST_F(ForkedHost, MayMakeCallsOfItsOwn) {
  const int seven = 7;
  EXPECT_EQ(call(forked([seven] { return call([](int n) { return n + 1; }, seven); })),
            8);
}

// --- run() and KILLABLE_INLINE ---------------------------------------------------------

TEST_F(Inline, RunRunsHereAndNow) {
  KillableThread thread([] {
    host_state = 2;
    return ::gettid();
  });
  thread.run();
  EXPECT_EQ(thread.state(), State::returned);
  EXPECT_EQ(thread.getResult(), ::gettid());
  EXPECT_EQ(thread.getResult(), ::gettid());
  EXPECT_EQ(thread.get_id(), ::getpid());
  EXPECT_EQ(host_state, 2);
  thread.join();
  EXPECT_TRUE(thread.join(0ns));
  EXPECT_FALSE(thread.is_alive());
  EXPECT_EQ(thread.report().state, State::returned);
}

TEST_F(Inline, RunKeepsWhatIsThrownForGetResult) {
  KillableThread thread([] { throw std::out_of_range("far"); });
  EXPECT_NO_THROW(thread.run());
  EXPECT_EQ(thread.state(), State::threw);
  EXPECT_THROW(thread.getResult(), std::out_of_range);
}

TEST_F(Inline, RunIsAStart) {
  KillableThread ran([] { return 7; });
  ran.run();
  EXPECT_THROW(ran.run(), std::logic_error);
  EXPECT_THROW(ran.start(), std::logic_error);
  KillableThread started([] { return 7; });
  started.start();
  EXPECT_THROW(started.run(), std::logic_error);
  EXPECT_EQ(started.getResult(), 7);
}

TEST_F(Inline, WhatNeedsAWorkerDoesNothing) {
  KillableThread thread({.timeout = 1ns}, [] { return 7; });
  thread.run();
  thread.kill();
  thread.raise_exception();
  EXPECT_FALSE(thread.request_stop());
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(Inline, RunPassesArgumentsAndAStopTokenThatNeverStops) {
  KillableThread thread(
      [](std::stop_token stop, std::string text) {
        return text + (stop.stop_possible() ? " can stop" : " cannot stop");
      },
      "it");
  thread.run();
  EXPECT_EQ(thread.getResult(), "it cannot stop");
}

TEST_F(Inline, RunTakesCaptures) {
  int captured = 1;
  KillableThread thread(forked([&captured] { captured = 2; }));
  thread.run();
  EXPECT_EQ(captured, 2);
}

TEST_F(Inline, OneEnvironmentSwitchRunsEveryCallInline) {
  ::setenv("KILLABLE_INLINE", "1", 1);
  EXPECT_EQ(call(::getpid), ::getpid());
  EXPECT_EQ(call(kSpawn, ::getpid), ::getpid());
  EXPECT_THROW(call([] { throw std::out_of_range("far"); }), std::out_of_range);
  KillableThread thread([](int n) { return host_state = n; }, 5);
  thread.start();
  EXPECT_EQ(host_state, 5);
  EXPECT_EQ(thread.getResult(), 5);
  ::unsetenv("KILLABLE_INLINE");
  EXPECT_NE(call(::getpid), ::getpid());
}

TEST_F(Inline, AnyOtherValueOfTheSwitchIsOff) {
  ::setenv("KILLABLE_INLINE", "0", 1);
  EXPECT_NE(call(::getpid), ::getpid());
  ::unsetenv("KILLABLE_INLINE");
}

}  // namespace
}  // namespace killable::test
