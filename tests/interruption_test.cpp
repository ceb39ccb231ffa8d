#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <future>
#include <iostream>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>

#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/sanitizers.hpp"

/// What kill(), raise_exception() and request_stop() do to the function, as it sees it.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Interruption : public NothingIsLeft {
 protected:
  bool exists(const std::string& name) const {
    return std::filesystem::exists(path(name));
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
};

class Grace : public Interruption {};
class Silence : public Interruption {};
class RaiseException : public Interruption {};
class RequestStop : public Interruption {};

/// Signals a file when it goes.
struct CleanUp {
  std::string file;
  ~CleanUp() { signal_file(file); }
};

// --- What a function can do in the grace period ----------------------------------------

void sleep_and_clean_up(std::string ready, std::string cleaned) {
  const CleanUp clean_up{cleaned};
  signal_file(ready);
  sleep_for_ever();
}

TEST_F(Grace, DestructorsRunAtACancellationPoint) {
  KillableThread thread(sleep_and_clean_up, path("ready"), path("cleaned"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(exists("cleaned"));
}

TEST_F(Grace, OfZeroLeavesNoTimeForDestructors) {
  KillableThread thread(sleep_and_clean_up, path("ready"), path("cleaned"));
  start(thread);
  thread.kill(0ms);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_EQ(thread.report().signal, SIGKILL);
  EXPECT_FALSE(exists("cleaned"));
}

TEST_F(Grace, DestructorsRunAlsoInAFunctionThatWaitsForACondition) {
  if (!kConditionsMayBeCancelled) GTEST_SKIP() << "ThreadSanitizer ends the worker";
  KillableThread thread(
      [](std::string ready, std::string cleaned) {
        const CleanUp clean_up{cleaned};
        std::mutex mutex;
        std::condition_variable never;
        std::unique_lock lock(mutex);
        signal_file(ready);
        never.wait(lock, [] { return false; });
      },
      path("ready"), path("cleaned"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(exists("cleaned"));
}

volatile sig_atomic_t sigterm_seen = 0;

int handle_sigterm_and_return(std::string ready, std::string cleaned) {
  struct sigaction action {};
  action.sa_handler = [](int) { sigterm_seen = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  signal_file(ready);
  while (sigterm_seen == 0) ::usleep(1000);
  signal_file(cleaned);
  return 7;
}

TEST_F(Grace, AHandlerOfTheFunctionsOwnMayCleanUpAndReturnAValue) {
  KillableThread thread(handle_sigterm_and_return, path("ready"), path("cleaned"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(ends(thread));
  EXPECT_TRUE(exists("cleaned"));
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_EQ(thread.state(), State::returned);
}

TEST_F(Grace, OfZeroIsNotSeenByAHandler) {
  KillableThread thread(handle_sigterm_and_return, path("ready"), path("cleaned"));
  start(thread);
  thread.kill(0ms);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_FALSE(exists("cleaned"));
}

std::string work_until_stopped(std::stop_token stop, std::string ready,
                               std::string cleaned) {
  signal_file(ready);
  while (!stop.stop_requested()) ::usleep(1000);
  signal_file(cleaned);
  return "as far as it got";
}

TEST_F(Grace, AFunctionWithAStopTokenMayCleanUpAndReturnAValue) {
  KillableThread thread(work_until_stopped, path("ready"), path("cleaned"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(ends(thread));
  EXPECT_TRUE(exists("cleaned"));
  EXPECT_EQ(thread.getResult(), "as far as it got");
  EXPECT_EQ(thread.state(), State::returned);
}

TEST_F(Grace, OfZeroIsNotSeenByAStopToken) {
  KillableThread thread(work_until_stopped, path("ready"), path("cleaned"));
  start(thread);
  thread.kill(0ms);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_FALSE(exists("cleaned"));
}

TEST_F(Grace, AFunctionThatAsksThisWorkerIsNotUnwound) {
  KillableThread thread(
      [](std::string ready) {
        bool stopped = this_worker::stop_requested();
        signal_file(ready);
        // A cancellation point, at which any other function would be unwound.
        while (!stopped) {
          ::usleep(1000);
          stopped = this_worker::stop_requested();
        }
        return 7;
      },
      path("ready"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(Grace, AFunctionThatThrowsInItReportsThat) {
  KillableThread thread(
      [](std::stop_token stop, std::string ready) {
        signal_file(ready);
        while (!stop.stop_requested()) ::usleep(1000);
        throw std::runtime_error("half done");
      },
      path("ready"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::threw);
  EXPECT_THROW(thread.getResult(), std::runtime_error);
}

TEST_F(Grace, AFunctionThatDoesNotHeedItsTokenIsEndedAfterIt) {
  KillableThread thread(
      [](std::stop_token, std::string ready) {
        signal_file(ready);
        sleep_for_ever();
      },
      path("ready"));
  start(thread);
  thread.kill(20ms);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_EQ(thread.report().signal, SIGKILL);
}

TEST_F(Grace, AnExitInItCountsAsKilled) {
  KillableThread thread(
      [](std::stop_token stop, std::string ready) {
        signal_file(ready);
        while (!stop.stop_requested()) ::usleep(1000);
        std::exit(3);
      },
      path("ready"));
  start(thread);
  thread.kill(kForEver);
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_EQ(thread.report().exit_code, 3);
}

// --- Nothing is printed while a worker dies --------------------------------------------

/// Runs `function` with its output in the file "log", and kills it.
template <class F>
std::string output_while_killed(F function, const std::string& log,
                                const std::string& ready) {
  KillableThread thread(function, log, ready);
  thread.start();
  await_file(ready);
  thread.kill(kForEver);
  EXPECT_TRUE(ends_killed(thread));
  std::ifstream file(log);
  EXPECT_TRUE(file.is_open());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST_F(Silence, IsKeptAboutAFunctionThatIsUnwound) {
  EXPECT_EQ(output_while_killed(
                [](std::string log, std::string ready) {
                  write_output_to(log);
                  signal_file(ready);
                  sleep_for_ever();
                },
                path("log"), path("ready")),
            "");
}

void sleep_noexcept(const std::string& ready) noexcept {
  signal_file(ready);
  sleep_for_ever();
}

TEST_F(Silence, IsKeptAboutANoexceptFunctionThatCannotBeUnwound) {
  EXPECT_EQ(output_while_killed(
                [](std::string log, std::string ready) {
                  write_output_to(log);
                  sleep_noexcept(ready);
                },
                path("log"), path("ready")),
            "");
}

TEST_F(Silence, IsKeptAboutADestructorThatCannotBeUnwound) {
  struct Sleeper {
    std::string ready;
    ~Sleeper() { sleep_noexcept(ready); }
  };
  EXPECT_EQ(output_while_killed(
                [](std::string log, std::string ready) {
                  write_output_to(log);
                  const Sleeper sleeper{ready};
                },
                path("log"), path("ready")),
            "");
}

TEST_F(Silence, IsKeptAboutAThreadThatNobodyHasJoined) {
  EXPECT_EQ(output_while_killed(
                [](std::string log, std::string ready) {
                  write_output_to(log);
                  // Its destructor calls std::terminate.
                  const std::thread never_joined(sleep_for_ever);
                  signal_file(ready);
                  sleep_for_ever();
                },
                path("log"), path("ready")),
            "");
}

TEST_F(Silence, IsNotKeptAboutATerminateOfTheFunctionsOwn) {
  KillableThread thread(
      [](std::string log) {
        write_output_to(log);
        std::terminate();
      },
      path("log"));
  thread.start();
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::crashed);
  EXPECT_EQ(thread.report().signal, SIGABRT);
  EXPECT_NE(read("log"), "");
}

TEST_F(Silence, DoesNotSwallowWhatTheFunctionHasWritten) {
  EXPECT_EQ(output_while_killed(
                [](std::string log, std::string ready) {
                  write_output_to(log);
                  std::cout << "written before";
                  signal_file(ready);
                  sleep_for_ever();
                },
                path("log"), path("ready")),
            "written before");
}

// --- raise_exception(): SIGTERM and no more --------------------------------------------

TEST_F(RaiseException, UnwindsASleeper) {
  KillableThread thread(sleep_and_clean_up, path("ready"), path("cleaned"));
  start(thread);
  thread.raise_exception();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_THROW(thread.getResult(), Killed);
  EXPECT_TRUE(exists("cleaned"));
}

TEST_F(RaiseException, LetsAComputationRunOnToItsCancellationPoint) {
  KillableThread thread(
      [](std::string ready, std::string go, std::string passed) {
        signal_file(ready);
        compute_until(go);
        ::symlink("it ran on", passed.c_str());
        sleep_for_ever();
      },
      path("ready"), path("go"), path("passed"));
  start(thread);
  thread.raise_exception();
  thread.raise_exception();
  EXPECT_TRUE(thread.is_alive());
  signal_file(path("go"));
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(std::filesystem::is_symlink(path("passed")));
}

TEST_F(RaiseException, LetsAComputationReturn) {
  KillableThread thread(
      [](std::string ready, std::string go) {
        signal_file(ready);
        compute_until(go);
        return 7;
      },
      path("ready"), path("go"));
  start(thread);
  thread.raise_exception();
  signal_file(path("go"));
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(RaiseException, NeverEndsAWorkerThatIgnoresIt) {
  KillableThread thread(
      [](std::string ready, std::string go) {
        ignore_every_signal();
        signal_file(ready);
        while (!std::filesystem::exists(go)) ::usleep(1000);
        return 7;
      },
      path("ready"), path("go"));
  start(thread);
  thread.raise_exception();
  signal_file(path("go"));
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(RaiseException, DoesNotTakeTheBlameForWhatTheFunctionDoesAfterIt) {
  KillableThread exiting(
      [](std::stop_token stop, std::string ready) {
        signal_file(ready);
        while (!stop.stop_requested()) ::usleep(1000);
        std::_Exit(3);
      },
      path("ready"));
  start(exiting);
  exiting.raise_exception();
  EXPECT_TRUE(ends(exiting));
  EXPECT_EQ(exiting.state(), State::exited);
  EXPECT_EQ(exiting.report().exit_code, 3);
}

TEST_F(RaiseException, CanBeFollowedByKill) {
  KillableThread thread(
      [](std::string ready) {
        ignore_every_signal();
        signal_file(ready);
        sleep_for_ever();
      },
      path("ready"));
  start(thread);
  thread.raise_exception();
  thread.kill(0ms);
  EXPECT_TRUE(ends_killed(thread));
}

// --- request_stop(): the token and no more ---------------------------------------------

TEST_F(RequestStop, IsSeenByTheTokenAndCountsOnce) {
  KillableThread thread(work_until_stopped, path("ready"), path("cleaned"));
  start(thread);
  EXPECT_TRUE(thread.request_stop());
  EXPECT_FALSE(thread.request_stop());
  EXPECT_EQ(thread.getResult(), "as far as it got");
  EXPECT_FALSE(thread.request_stop());
}

TEST_F(RequestStop, IsSeenAlsoIfItCameBeforeTheFunctionAsked) {
  KillableThread thread(
      [](std::string ready, std::string go) {
        signal_file(ready);
        while (!std::filesystem::exists(go)) ::usleep(1000);
        const std::stop_token stop = this_worker::stop_token();
        while (!stop.stop_requested()) ::usleep(1000);
        return 7;
      },
      path("ready"), path("go"));
  start(thread);
  EXPECT_TRUE(thread.request_stop());
  signal_file(path("go"));
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(RequestStop, RunsAStopCallback) {
  KillableThread thread(
      [](std::stop_token stop, std::string ready) {
        std::promise<int> stopped;
        const std::stop_callback callback(stop, [&] { stopped.set_value(7); });
        signal_file(ready);
        return stopped.get_future().get();
      },
      path("ready"));
  start(thread);
  EXPECT_TRUE(thread.request_stop());
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(RequestStop, MakesCheckStopThrowStopRequested) {
  KillableThread thread(
      [](std::string ready) {
        signal_file(ready);
        for (;;) {
          this_worker::check_stop();
          ::usleep(1000);
        }
      },
      path("ready"));
  start(thread);
  EXPECT_TRUE(thread.request_stop());
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::threw);
  EXPECT_THROW(thread.getResult(), StopRequested);
}

TEST_F(RequestStop, IsNotNoticedByAFunctionThatDoesNotAsk) {
  KillableThread thread(
      [](std::string ready, std::string go) {
        signal_file(ready);
        while (!std::filesystem::exists(go)) ::usleep(1000);
        return 7;
      },
      path("ready"), path("go"));
  start(thread);
  EXPECT_TRUE(thread.request_stop());
  signal_file(path("go"));
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(RequestStop, IsHarmlessOutsideAWorker) {
  EXPECT_FALSE(this_worker::inside());
  EXPECT_FALSE(this_worker::stop_requested());
  EXPECT_FALSE(this_worker::stop_token().stop_possible());
  EXPECT_NO_THROW(this_worker::check_stop());
}

}  // namespace
}  // namespace killable::test
