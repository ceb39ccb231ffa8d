#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "support/fixture.hpp"

namespace killable::test {
namespace {

class Calls : public NothingIsLeft {};

int add(int a, int b) { return a + b; }
int add_noexcept(int a, int b) noexcept { return a + b; }

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
}

TEST_F(Calls, TheFunctionRunsInAnotherProcessWhosePidIsItsId) {
  KillableThread thread(::getpid);
  thread.start();
  const pid_t id = thread.get_id();
  EXPECT_EQ(thread.getResult(), id);
  EXPECT_NE(id, ::getpid());
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
  EXPECT_EQ(thread.state(), State::not_started);
  EXPECT_FALSE(thread.is_alive());
  EXPECT_THROW(thread.getResult(), std::logic_error);
  EXPECT_THROW(thread.join(), std::logic_error);
  EXPECT_THROW(thread.get_id(), std::logic_error);
}

TEST_F(Calls, GetResultTwiceGivesEqualValuesAlsoForMoveOnlyTypes) {
  KillableThread thread([] { return std::make_unique<int>(7); });
  thread.start();
  EXPECT_EQ(*thread.getResult(), 7);
  EXPECT_EQ(*thread.getResult(), 7);
}

}  // namespace
}  // namespace killable::test
