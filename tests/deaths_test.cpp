#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/child_host.hpp"
#include "support/ends.hpp"
#include "support/family.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/sanitizers.hpp"
#include "support/session_processes.hpp"

namespace killable::test {
namespace {

/// Has daemons that ignore every signal, and ignores every signal.
void have_daemons(std::string directory) {
  std::filesystem::create_directory(directory);
  found_lineage(directory + "/lineage");
  make_generations(directory, 3, Daemonise::yes);
  await_family(directory, 3);
  ignore_every_signal();
  signal_file(directory + "/ready");
  sleep_for_ever();
}

class Deaths : public NothingIsLeft {
 protected:
  bool is_extinct(const std::string& directory) const {
    return test::is_extinct(path(directory) + "/lineage");
  }
};

// --- The host dies ---------------------------------------------------------------------

class HostDeath : public Deaths {
 protected:
  /// Runs `body` as a host, kills it when `moment` says so, and expects nothing to be
  /// left of it.
  template <class Body, class Moment>
  void kill_host(Body body, Moment moment) {
    const std::set<std::string> shm = names_in("/dev/shm");
    const std::string temporary = path("tmp");
    std::filesystem::create_directory(temporary);
    ChildHost host([&] {
      ::setenv("TMPDIR", temporary.c_str(), 1);
      body();
    });
    moment(host);
    host.send_signal(SIGKILL);
    const auto killed = std::chrono::steady_clock::now();
    host.join();
    EXPECT_TRUE(eventually(only_our_own_are_left));
    times_.push_back(std::chrono::steady_clock::now() - killed);
    EXPECT_EQ(names_in("/dev/shm"), shm);
    EXPECT_EQ(names_in(temporary), std::set<std::string>());
  }

  /// At least once: on a busy machine it may take longer.
  void expect_that_a_second_is_enough() {
    EXPECT_LT(std::ranges::min(times_), std::chrono::seconds(1));
  }

 private:
  std::vector<std::chrono::nanoseconds> times_;  ///< From each kill on.

  static std::set<std::string> names_in(const std::filesystem::path& directory) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
      names.insert(entry.path().filename());
    return names;
  }
};

TEST_F(HostDeath, TakesItsWorkersAndTheirDaemons) {
  kill_host(
      [this] {
        KillableThread thread(have_daemons, path("daemons"));
        thread.start();
        sleep_for_ever();
      },
      [this](ChildHost&) { await_file(path("daemons/ready")); });
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
}

TEST_F(HostDeath, TakesForksOfTheHost) {
  kill_host(
      [this] {
        KillableThread thread(forked([this] { have_daemons(path("daemons")); }));
        thread.start();
        sleep_for_ever();
      },
      [this](ChildHost&) { await_file(path("daemons/ready")); });
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
}

TEST_F(HostDeath, TakesNestedCalls) {
  kill_host(
      [this] {
        KillableThread thread(
            [](std::string directory) {
              KillableThread nested(have_daemons, directory);
              nested.start();
              sleep_for_ever();
            },
            path("daemons"));
        thread.start();
        sleep_for_ever();
      },
      [this](ChildHost&) { await_file(path("daemons/ready")); });
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
}

TEST_F(HostDeath, TakesTheIdleSession) {
  kill_host(
      [this] {
        warm_up();
        signal_file(path("warm"));
        sleep_for_ever();
      },
      [this](ChildHost&) { await_file(path("warm")); });
}

TEST_F(HostDeath, TakesTheSessionThatIsStillStarting) {
  std::mt19937 random(20);
  for (int round = 0; round < 50; ++round)
    kill_host(
        [] {
          warm_up();
          sleep_for_ever();
        },
        [&](ChildHost&) {
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
        });
}

TEST_F(HostDeath, AtAnyMomentOfBusyCallsLeavesNothing) {
  std::mt19937 random(20);
  for (int round = 0; round < repetitions(50); ++round) {
    std::filesystem::remove(path("busy"));
    kill_host(
        [this] {
          const auto work = [] {
            EXPECT_EQ(call([] { return 7; }), 7);
            KillableThread thread(sleep_for_ever);
            thread.start();
            thread.kill();
          };
          const std::jthread other([&] {
            for (;;) work();
          });
          for (;;) {
            work();
            signal_file(path("busy"));
          }
        },
        [&](ChildHost&) {
          await_file(path("busy"));
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 10'000));
        });
  }
  expect_that_a_second_is_enough();
}

TEST_F(HostDeath, WhileItsForkServerIsStoppedLeavesNothing) {
  const SessionProcesses ours = the_session();
  kill_host(
      [this] {
        KillableThread thread(have_daemons, path("daemons"));
        thread.start();
        sleep_for_ever();
      },
      [&](ChildHost&) {
        await_file(path("daemons/ready"));
        // Its guard may resume it at once.
        ::kill(the_session_besides(ours).fork_server, SIGSTOP);
      });
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
}

TEST_F(HostDeath, WhileItIsStoppedLeavesNothing) {
  kill_host(
      [this] {
        KillableThread thread(have_daemons, path("daemons"));
        thread.start();
        sleep_for_ever();
      },
      [&](ChildHost& host) {
        await_file(path("daemons/ready"));
        host.stop();
      });
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
}

TEST_F(HostDeath, TakesItsWorkersAlsoIfAChildOfItLivesOn) {
  ChildHost host([this] {
    KillableThread thread(have_daemons, path("daemons"));
    thread.start();
    KillableThread fork(forked([this] { have_daemons(path("more")); }));
    fork.start();
    await_file(path("daemons/ready"));
    await_file(path("more/ready"));
    const pid_t child = ::fork();
    if (child == 0) sleep_for_ever();
    signal_file(path("child"), std::to_string(child));
    sleep_for_ever();
  });
  const pid_t child = await_pid(path("child"));
  host.send_signal(SIGKILL);
  host.join();
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
  EXPECT_TRUE(eventually([&] { return is_extinct("more"); }));
  EXPECT_TRUE(eventually([] { return all_sessions().size() == 1; }));
  EXPECT_TRUE(is_alive(child));
  ::kill(child, SIGKILL);
}

TEST_F(HostDeath, ByAnExitLeavesNothing) {
  ChildHost host([this] {
    auto* const leaked = new KillableThread(have_daemons, path("daemons"));
    leaked->start();
    await_file(path("daemons/ready"));
  });
  EXPECT_EQ(host.join(), 0);
  EXPECT_TRUE(eventually(only_our_own_are_left));
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
}

TEST_F(HostDeath, TouchesNoOtherHost) {
  KillableThread bystander(
      [](std::string go) {
        while (!std::filesystem::exists(go)) ::usleep(1000);
        return 7;
      },
      path("go"));
  bystander.start();
  {
    ChildHost host([this] {
      KillableThread thread(have_daemons, path("daemons"));
      thread.start();
      sleep_for_ever();
    });
    await_file(path("daemons/ready"));
  }
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
  EXPECT_TRUE(bystander.is_alive());
  signal_file(path("go"));
  EXPECT_EQ(bystander.getResult(), 7);
}

// --- The guard or the fork server dies -------------------------------------------------

enum class Victim { guard, fork_server };

class SessionDeath : public Deaths, public ::testing::WithParamInterface<Victim> {
 protected:
  void kill_victim() {
    const SessionProcesses session = the_session();
    end_process(GetParam() == Victim::guard ? session.guard : session.fork_server);
  }
};

TEST_P(SessionDeath, CallsInFlightAreLostAndNothingOfThemSurvives) {
  KillableThread sleeper(sleep_for_ever);
  KillableThread parent(have_daemons, path("daemons"));
  sleeper.start();
  parent.start();
  await_file(path("daemons/ready"));
  kill_victim();
  for (auto* thread : {&sleeper, &parent}) {
    EXPECT_TRUE(ends(*thread));
    EXPECT_EQ(thread->state(), State::lost);
    EXPECT_THROW(thread->getResult(), WorkerLost);
    EXPECT_EQ(thread->report().state, State::lost);
    thread->kill();
    thread->raise_exception();
    EXPECT_FALSE(thread->request_stop());
  }
  EXPECT_TRUE(eventually([&] { return is_extinct("daemons"); }));
  EXPECT_TRUE(eventually([] { return strays().empty(); }));
  EXPECT_EQ(call([] { return 7; }), 7);
}

TEST_P(SessionDeath, TheNextCallWorksAtOnce) {
  for (int round = 0; round < 20; ++round) {
    kill_victim();
    EXPECT_EQ(call([](int n) { return n; }, round), round);
  }
}

TEST_P(SessionDeath, WhatWasReturnedBeforeStaysAndHasItsReport) {
  KillableThread returned([] { return 7; });
  KillableThread killed([] {
    sleep_for_ever();
    return 0;
  });
  returned.start();
  killed.start();
  killed.kill();
  EXPECT_TRUE(ends(returned));
  EXPECT_TRUE(ends_killed(killed));
  kill_victim();
  EXPECT_EQ(returned.getResult(), 7);
  EXPECT_EQ(returned.report().state, State::returned);
  EXPECT_THROW(killed.getResult(), Killed);
  EXPECT_EQ(killed.report().state, State::killed);
}

TEST_P(SessionDeath, WakesEveryThreadThatWaits) {
  KillableThread thread(sleep_for_ever);
  thread.start();
  std::vector<std::jthread> waiters;
  for (int i = 0; i < 8; ++i)
    waiters.emplace_back([&] { EXPECT_THROW(thread.getResult(), WorkerLost); });
  kill_victim();
}

TEST_P(SessionDeath, AgainAndAgainAmidBusyCallsHangsNoCall) {
  std::atomic<bool> done = false;
  std::vector<std::jthread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      while (!done) {
        KillableThread thread([] { return 7; });
        try {
          thread.start();
          EXPECT_TRUE(ends(thread));
          EXPECT_EQ(thread.getResult(), 7);
        } catch (const WorkerLost&) {
        } catch (const StartError& error) {
          // It gives up after some tries, each of which met a death.
          EXPECT_EQ(error.code().value(), ECONNRESET) << error.what();
        }
      }
    });
  for (int round = 0; round < 20; ++round) kill_victim();
  done = true;
}

INSTANTIATE_TEST_SUITE_P(Deaths, SessionDeath,
                         ::testing::Values(Victim::guard, Victim::fork_server),
                         [](const auto& victim) {
                           return victim.param == Victim::guard ? "OfTheGuard"
                                                                : "OfTheForkServer";
                         });

}  // namespace
}  // namespace killable::test
