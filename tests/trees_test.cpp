#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "support/ends.hpp"
#include "support/family.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;

enum class Shape {
  five_generations,
  five_generations_of_daemons,
  siblings,
  hoppers,
  fork_bomb,
};

/// How the call ends.
enum class End { never, return_value, throw_exception, crash, exit };

constexpr int kLive = 30;

/// Has such descendants, tells when they are there, and ends.
int have_family(Shape shape, End end, int tokens, std::string directory) {
  const std::string members = directory + "/family";
  std::filesystem::create_directory(members);
  found_lineage(directory + "/lineage");
  std::size_t expected = 5;
  switch (shape) {
    case Shape::five_generations: make_generations(members, 5, Daemonise::no); break;
    case Shape::five_generations_of_daemons:
      make_generations(members, 5, Daemonise::yes);
      break;
    case Shape::siblings:
      for (int i = 0; i < 5; ++i) make_sibling(members);
      break;
    case Shape::hoppers:
      for (int i = 0; i < 5; ++i) make_hopper(members, 100'000);
      break;
    case Shape::fork_bomb:
      make_fork_bomb(tokens, 100'000);
      expected = 0;
      break;
  }
  await_family(members, expected);
  signal_file(directory + "/ready");
  switch (end) {
    case End::never: sleep_for_ever();
    case End::return_value: break;
    case End::throw_exception: throw std::runtime_error("thrown");
    case End::crash: ::raise(SIGSEGV); break;
    case End::exit: std::_Exit(3);
  }
  return 7;
}

class Trees : public NothingIsLeft {
 protected:
  std::string directory() const { return path("."); }
  bool is_extinct() const { return test::is_extinct(path("lineage")); }
};

class TreesOfEveryShape : public Trees, public ::testing::WithParamInterface<Shape> {
 protected:
  KillableThread<int> start(End end) {
    KillableThread thread(have_family, GetParam(), end, tokens_.id(), directory());
    NothingIsLeft::start(thread);
    return thread;
  }

  const Tokens tokens_{kLive};
};

TEST_P(TreesOfEveryShape, NothingSurvivesAKill) {
  auto thread = start(End::never);
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(is_extinct());
}

TEST_P(TreesOfEveryShape, NothingSurvivesAKillWithoutAGracePeriod) {
  auto thread = start(End::never);
  thread.kill(0ms);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(is_extinct());
}

TEST_P(TreesOfEveryShape, NothingSurvivesATimeout) {
  // Whatever there is of the family by then: a busy machine may be slow to make it.
  KillableThread thread({.timeout = 300ms}, have_family, GetParam(), End::never,
                        tokens_.id(), directory());
  thread.start();
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::timed_out);
  EXPECT_TRUE(is_extinct());
}

TEST_P(TreesOfEveryShape, NothingSurvivesACrash) {
  auto thread = start(End::crash);
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::crashed);
  EXPECT_TRUE(is_extinct());
}

TEST_P(TreesOfEveryShape, NothingSurvivesAnExit) {
  auto thread = start(End::exit);
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::exited);
  EXPECT_EQ(thread.report().exit_code, 3);
  EXPECT_TRUE(is_extinct());
}

TEST_P(TreesOfEveryShape, NothingSurvivesANormalReturn) {
  auto thread = start(End::return_value);
  EXPECT_EQ(thread.getResult(), 7);
  thread.report();
  EXPECT_TRUE(is_extinct());
}

TEST_P(TreesOfEveryShape, NothingSurvivesAnException) {
  auto thread = start(End::throw_exception);
  EXPECT_THROW(thread.getResult(), std::runtime_error);
  thread.report();
  EXPECT_TRUE(is_extinct());
}

TEST_P(TreesOfEveryShape, NothingSurvivesTheHandle) {
  { const auto thread = start(End::never); }
  EXPECT_TRUE(is_extinct());
}

TEST_P(TreesOfEveryShape, NothingSurvivesAReturnThatNobodyAsksAbout) {
  auto thread = start(End::return_value);
  EXPECT_TRUE(eventually([&] { return is_extinct(); }));
}

std::string name_of(const ::testing::TestParamInfo<Shape>& info) {
  switch (info.param) {
    case Shape::five_generations: return "OfFiveGenerations";
    case Shape::five_generations_of_daemons: return "OfFiveGenerationsOfDaemons";
    case Shape::siblings: return "OfSiblingsByCloneParent";
    case Shape::hoppers: return "OfHoppers";
    case Shape::fork_bomb: return "OfAForkBomb";
  }
  return {};
}

INSTANTIATE_TEST_SUITE_P(Trees, TreesOfEveryShape,
                         ::testing::Values(Shape::five_generations,
                                           Shape::five_generations_of_daemons,
                                           Shape::siblings, Shape::hoppers,
                                           Shape::fork_bomb),
                         name_of);

TEST_F(Trees, NothingSurvivesAWorkerThatForksWhileItIsKilled) {
  std::mt19937 random(20);
  for (int round = 0; round < 100; ++round) {
    KillableThread thread(
        [](std::string lineage, std::string ready) {
          found_lineage(lineage);
          signal_file(ready);
          for (int i = 0; i < 60; ++i)
            if (::fork() == 0) sleep_for_ever();
          sleep_for_ever();
        },
        path("lineage"), path("ready"));
    start(thread);
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 5000);
    while (std::chrono::steady_clock::now() < until) {
    }
    thread.kill(0ms);
    ASSERT_TRUE(ends_killed(thread));
    ASSERT_TRUE(is_extinct());
    std::filesystem::remove(path("ready"));
  }
}

TEST_F(Trees, NothingSurvivesTheKillOfAFreshExec) {
  KillableThread thread({.start_method = StartMethod::spawn}, have_family,
                        Shape::five_generations_of_daemons, End::never, 0, directory());
  start(thread);
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(is_extinct());
}

TEST_F(Trees, NothingSurvivesTheKillOfAForkOfTheHost) {
  KillableThread thread(forked([directory = directory()] {
    return have_family(Shape::five_generations_of_daemons, End::never, 0, directory);
  }));
  start(thread);
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(is_extinct());
}

TEST_F(Trees, TheEndOfOneCallTouchesNoDescendantOfAnother) {
  const std::string family = path("family");
  std::filesystem::create_directory(family);
  KillableThread parent(
      [](std::string members, std::string lineage) {
        found_lineage(lineage);
        make_generations(members, 3, Daemonise::no);
        make_generations(members, 3, Daemonise::yes);
        sleep_for_ever();
      },
      family, path("lineage"));
  parent.start();
  const std::vector<pid_t> members = await_family(family, 6);
  for (const End end : {End::never, End::crash, End::exit, End::return_value}) {
    const std::string other = path("other");
    std::filesystem::create_directory(other);
    KillableThread thread(have_family, Shape::five_generations_of_daemons, end, 0, other);
    thread.start();
    await_file(other + "/ready");
    if (end == End::never) thread.kill(0ms);
    EXPECT_TRUE(ends(thread));
    thread.report();
    EXPECT_TRUE(test::is_extinct(other + "/lineage"));
    EXPECT_EQ(count_alive(members), 6u);
    std::filesystem::remove_all(other);
  }
  parent.kill();
  EXPECT_TRUE(ends_killed(parent));
  EXPECT_EQ(count_alive(members), 0u);
  EXPECT_TRUE(is_extinct());
}

TEST_F(Trees, AGrandchildThatHoldsStdoutDoesNotDelayJoin) {
  KillableThread thread(
      [](std::string lineage) {
        found_lineage(lineage);
        if (::fork() == 0) {
          if (::fork() == 0) sleep_for_ever();
          sleep_for_ever();
        }
        return 7;
      },
      path("lineage"));
  thread.start();
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.getResult(), 7);
  thread.report();
  EXPECT_TRUE(is_extinct());
}

// --- A worker that is traced by its own child cannot be reaped before that is gone -----

/// A child of the fork server that is dead, and that nobody can reap: its tracer lives.
TEST_F(Trees, WhatALiveWorkerTracesKeepsNoOtherCallWaiting) {
  const std::string family = path("family");
  std::filesystem::create_directory(family);
  KillableThread tracer(
      [](std::string directory, std::string ready) {
        make_sibling(directory);
        const pid_t sibling = await_family(directory, 1).front();
        if (::ptrace(PTRACE_SEIZE, sibling, nullptr, nullptr) == 0) signal_file(ready);
        sleep_for_ever();
      },
      family, path("ready"));
  NothingIsLeft::start(tracer);
  for (int i = 0; i < 2; ++i) {
    KillableThread other([] { std::_Exit(3); });
    other.start();
    EXPECT_TRUE(ends_as(State::exited, other));
  }
  EXPECT_TRUE(tracer.is_alive());
  tracer.kill(0ms);
  EXPECT_TRUE(ends_killed(tracer));
}

class TracedByItsOwnChild : public Trees,
                            public ::testing::WithParamInterface<Daemonise> {
 protected:
  KillableThread<int> make(End end, Options options = {}) {
    return KillableThread(
        std::move(options),
        [](Daemonise daemonise, End how, std::string directory) {
          found_lineage(directory + "/lineage");
          std::filesystem::create_directory(directory + "/family");
          make_tracer(directory + "/family", daemonise);
          signal_file(directory + "/ready");
          if (how == End::exit) std::_Exit(3);
          if (how == End::never) sleep_for_ever();
          return 7;
        },
        GetParam(), end, directory());
  }

  KillableThread<int> start(End end) {
    KillableThread thread = make(end);
    NothingIsLeft::start(thread);
    return thread;
  }
};

TEST_P(TracedByItsOwnChild, AWorkerEndsByKill) {
  auto thread = start(End::never);
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(is_extinct());
}

TEST_P(TracedByItsOwnChild, AWorkerEndsByKillWithoutAGracePeriod) {
  auto thread = start(End::never);
  thread.kill(0ms);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(is_extinct());
}

TEST_P(TracedByItsOwnChild, AWorkerEndsByTimeout) {
  // Longer and longer, until the child was there in time: a busy machine may be slow.
  for (auto timeout = 100ms; !std::filesystem::exists(path("ready")); timeout *= 4) {
    std::filesystem::remove_all(path("family"));
    KillableThread thread = make(End::never, {.timeout = timeout});
    thread.start();
    ASSERT_TRUE(ends(thread));
    EXPECT_EQ(thread.state(), State::timed_out);
    EXPECT_TRUE(is_extinct());
  }
}

TEST_P(TracedByItsOwnChild, AWorkerEndsByItsExit) {
  auto thread = start(End::exit);
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::exited);
  EXPECT_EQ(thread.report().exit_code, 3);
  EXPECT_TRUE(is_extinct());
}

TEST_P(TracedByItsOwnChild, AWorkerEndsByItsReturn) {
  auto thread = start(End::return_value);
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_EQ(thread.report().state, State::returned);
  EXPECT_TRUE(is_extinct());
}

INSTANTIATE_TEST_SUITE_P(Trees, TracedByItsOwnChild,
                         ::testing::Values(Daemonise::no, Daemonise::yes),
                         [](const auto& trace) {
                           return trace.param == Daemonise::yes ? "ThatIsADaemon"
                                                                : "ThatIsNoDaemon";
                         });

}  // namespace
}  // namespace killable::test
