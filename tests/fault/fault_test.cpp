#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <killable/killable.hpp>

#include "os/fault.hpp"
#include "support/fixture.hpp"

/// Strikes each process at each step of the protocol, once, and asks of every step the
/// same: the host gets an answer of a documented kind, and the next call works.
namespace killable::test {
namespace {

using namespace std::chrono_literals;
using os::Fault;

struct Strike {
  Fault fault;
  int signal;
};

const char* name_of(Fault fault) {
  switch (fault) {
    case Fault::guard_before_fork_server: return "GuardBeforeForkServer";
    case Fault::fork_server_before_hello: return "ForkServerBeforeHello";
    case Fault::fork_server_before_fork: return "ForkServerBeforeFork";
    case Fault::fork_server_after_fork: return "ForkServerAfterFork";
    case Fault::fork_server_before_end: return "ForkServerBeforeEnd";
    case Fault::fork_server_before_ended: return "ForkServerBeforeEnded";
    case Fault::worker_after_fork: return "WorkerAfterFork";
    case Fault::worker_before_call: return "WorkerBeforeCall";
    case Fault::worker_before_entry: return "WorkerBeforeEntry";
    case Fault::worker_before_commit: return "WorkerBeforeCommit";
    case Fault::worker_after_commit: return "WorkerAfterCommit";
    case Fault::worker_after_bell: return "WorkerAfterBell";
    case Fault::count: break;
  }
  return "Unknown";
}

std::vector<Strike> all_strikes() {
  std::vector<Strike> strikes;
  for (int fault = 0; fault < static_cast<int>(Fault::count); ++fault)
    for (const int signal : {SIGKILL, SIGSTOP})
      strikes.push_back({static_cast<Fault>(fault), signal});
  return strikes;
}

std::string test_name(const ::testing::TestParamInfo<Strike>& info) {
  return std::string(name_of(info.param.fault)) +
         (info.param.signal == SIGKILL ? "Killed" : "Stopped");
}

int answer() { return 42; }

int answer_after(std::string go) {
  await_file(go);
  return 42;
}

void spin() {
  const volatile bool go_on = true;
  while (go_on) {
  }
}

/// A worker that is stopped hangs like any other, until somebody kills it.
void end_if_it_hangs(KillableThread<int>& thread) {
  if (!thread.join(2s)) thread.kill(0ms);
  thread.join();
}

class FaultAt : public NothingIsLeft, public ::testing::WithParamInterface<Strike> {
 protected:
  /// A session whose processes carry the request to strike, and no other.
  void arm() {
    token_ = path("token");
    std::ofstream{token_};
    const std::string request = std::to_string(static_cast<int>(GetParam().fault)) + " " +
                                std::to_string(GetParam().signal) + " " + token_;
    replace_session();
    ::setenv("KILLABLE_FAULT", request.c_str(), 1);
  }

  void TearDown() override {
    ::unsetenv("KILLABLE_FAULT");
    disarm();
    replace_session();
    NothingIsLeft::TearDown();
  }

  bool has_struck() const { return !std::filesystem::exists(token_); }

  /// Nothing is struck from here on.
  void disarm() { std::filesystem::remove(token_); }

  /// What a call with these options comes to.
  void expect_an_answer(Options options) {
    try {
      KillableThread thread(options, answer);
      thread.start();
      end_if_it_hangs(thread);
      EXPECT_TRUE(is_a_documented_end(thread.state())) << to_string(thread.state());
      if (thread.state() == State::returned) {
        EXPECT_EQ(thread.getResult(), 42);
      } else {
        EXPECT_THROW(thread.getResult(), Error);
      }
    } catch (const StartError&) {
      // An answer, too: no worker was to be had.
    }
  }

  /// Ends the fork server, so that the next start launches another with today's
  /// environment.
  static void replace_session() {
    for (const Process& process : processes_named("killable-server"))
      end_process(process.pid);
    EXPECT_TRUE(eventually([] { return other_processes().empty(); }));
  }

  /// The strike may have hit a spare, which the next call is given, or the fork server
  /// while it serves that call. The one after that works.
  void expect_that_calls_work() {
    disarm();
    KillableThread next(answer);
    next.start();
    end_if_it_hangs(next);
    EXPECT_TRUE(is_a_documented_end(next.state())) << to_string(next.state());
    EXPECT_EQ(next.state() == State::returned ? next.getResult() : call(answer), 42);
  }

  static bool is_a_documented_end(State state) {
    return state == State::returned || state == State::killed ||
           state == State::crashed || state == State::lost;
  }

 private:
  std::string token_;
};

TEST_P(FaultAt, ACallGetsAnAnswerAndTheNextOneWorks) {
  arm();
  expect_an_answer({});
  // Each step is one of a call that ends by itself, and so the strike has come.
  EXPECT_TRUE(eventually([&] { return has_struck(); }));
  expect_that_calls_work();
}

TEST_P(FaultAt, ASpawnedCallGetsAnAnswerAndTheNextOneWorks) {
  arm();
  expect_an_answer({.start_method = StartMethod::spawn});
  EXPECT_TRUE(eventually([&] { return has_struck(); }));
  expect_that_calls_work();
}

TEST_P(FaultAt, AKillGetsAnAnswerAndTheNextCallWorks) {
  arm();
  try {
    KillableThread thread(spin);
    thread.start();
    thread.kill(1ms);
    thread.join();
    EXPECT_TRUE(is_a_documented_end(thread.state())) << to_string(thread.state());
    EXPECT_THROW(thread.getResult(), Error);
  } catch (const StartError&) {
  }
  expect_that_calls_work();
}

TEST_P(FaultAt, OtherCallsThatRunGetTheirs) {
  arm();
  std::vector<KillableThread<int>> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(answer_after, path("go"));
  for (auto& thread : threads) try {
      thread.start();
    } catch (const StartError&) {
    }
  signal_file(path("go"));
  int unanswered = 0;
  for (auto& thread : threads) {
    if (thread.state() == State::not_started) continue;
    end_if_it_hangs(thread);
    if (thread.state() != State::returned) ++unanswered;
  }
  threads.clear();  // The release of a worker is a step, too.
  EXPECT_TRUE(eventually([&] { return has_struck(); }));
  // A fork server that dies takes all of its workers along; a worker only itself.
  if (GetParam().fault >= Fault::worker_after_fork) {
    EXPECT_LE(unanswered, 1);
  } else if (GetParam().signal == SIGSTOP) {
    EXPECT_EQ(unanswered, 0);
  }
}

TEST_P(FaultAt, CallsOfAPoolGetTheirs) {
  arm();
  int unanswered = 0;
  {
    ProcessPool pool({.workers = 2});
    std::vector<KillableThread<int>> calls;
    for (int i = 0; i < 6; ++i) calls.push_back(pool.submit(answer));
    for (auto& call : calls) {
      end_if_it_hangs(call);
      if (call.state() == State::returned) {
        EXPECT_EQ(call.getResult(), 42);
      } else {
        ++unanswered;
        EXPECT_THROW(call.getResult(), std::exception);
      }
    }
    // Stopped after its result, a worker takes the next call, too.
    auto next = pool.submit(answer);
    end_if_it_hangs(next);
    if (next.state() != State::returned) ++unanswered;
  }
  // The end of a worker is a step, too.
  EXPECT_TRUE(eventually([&] { return has_struck(); }));
  if (GetParam().fault >= Fault::worker_after_fork) {
    EXPECT_LE(unanswered, 1);
  } else if (GetParam().signal == SIGSTOP) {
    EXPECT_EQ(unanswered, 0);
  }
  expect_that_calls_work();
}

INSTANTIATE_TEST_SUITE_P(EachStep, FaultAt, ::testing::ValuesIn(all_strikes()),
                         test_name);

}  // namespace
}  // namespace killable::test
