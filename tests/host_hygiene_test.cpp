#include <killable/killable.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
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

/// What belongs to the host stays as it is: its signals, its children, its forks.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class HostHygiene : public NothingIsLeft {
 protected:
  /// Expects all of `body` to hold in a host of its own.
  static void in_a_host(const std::function<void()>& body) {
    ChildHost host(body);
    EXPECT_EQ(host.join(), 0);
  }
};

/// One call of each kind, told apart.
void make_calls() {
  EXPECT_EQ(call([] { return 7; }), 7);
  EXPECT_THROW(call([] { throw std::out_of_range("far"); }), std::out_of_range);
  EXPECT_THROW(call([] { ::raise(SIGSEGV); }), WorkerCrashed);
  EXPECT_THROW(call([] { std::_Exit(3); }), WorkerExited);
  KillableThread thread(sleep_for_ever);
  thread.start();
  thread.kill();
  EXPECT_THROW(thread.getResult(), Killed);
}

pid_t fork_child(int exit_status) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(exit_status);
  return pid;
}

int wait_for(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WEXITSTATUS(status);
}

// --- Signals ---------------------------------------------------------------------------

std::atomic<int> sigchlds = 0;

void count_sigchld(int) { ++sigchlds; }

TEST_F(HostHygiene, ASigchldHandlerStaysAndHearsOfNoWorker) {
  in_a_host([] {
    warm_up();
    sigchlds = 0;
    ::signal(SIGCHLD, count_sigchld);
    make_calls();
    EXPECT_EQ(sigchlds, 0);
    EXPECT_EQ(wait_for(fork_child(5)), 5);
    EXPECT_EQ(sigchlds, 1);
    EXPECT_EQ(::signal(SIGCHLD, SIG_DFL), count_sigchld);
  });
}

TEST_F(HostHygiene, AHostThatIgnoresSigchldIsServed) {
  in_a_host([] {
    ::signal(SIGCHLD, SIG_IGN);
    make_calls();
    EXPECT_EQ(::signal(SIGCHLD, SIG_DFL), SIG_IGN);
  });
}

TEST_F(HostHygiene, AHostWhoseChildrenLeaveNoZombieIsServed) {
  in_a_host([] {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    action.sa_flags = SA_NOCLDWAIT;
    ::sigaction(SIGCHLD, &action, nullptr);
    make_calls();
  });
}

TEST_F(HostHygiene, AHostThatBlocksEverySignalIsServed) {
  in_a_host([] {
    block_every_signal();
    make_calls();
  });
}

TEST_F(HostHygiene, NoDispositionAndNoMaskOfTheHostIsTouched) {
  in_a_host([] {
    const auto dispositions = [] {
      std::vector<std::pair<void*, int>> all;
      for (int signal = 1; signal < SIGRTMAX; ++signal) {
        struct sigaction action {};
        ::sigaction(signal, nullptr, &action);
        all.emplace_back(reinterpret_cast<void*>(action.sa_handler), action.sa_flags);
      }
      return all;
    };
    const auto mask = [] {
      std::vector<bool> blocked;
      sigset_t set;
      ::sigprocmask(SIG_BLOCK, nullptr, &set);
      for (int signal = 1; signal < SIGRTMAX; ++signal)
        blocked.push_back(sigismember(&set, signal) == 1);
      return blocked;
    };
    ::signal(SIGUSR1, count_sigchld);
    ::signal(SIGPIPE, SIG_IGN);
    const auto dispositions_before = dispositions();
    const auto mask_before = mask();
    make_calls();
    EXPECT_EQ(dispositions(), dispositions_before);
    EXPECT_EQ(mask(), mask_before);
  });
}

// --- Children --------------------------------------------------------------------------

TEST_F(HostHygiene, TheHostsOwnChildrenAreNotReaped) {
  in_a_host([] {
    const pid_t early = fork_child(5);
    make_calls();
    const pid_t late = fork_child(6);
    make_calls();
    EXPECT_EQ(wait_for(early), 5);
    EXPECT_EQ(wait_for(late), 6);
    EXPECT_EQ(::waitpid(-1, nullptr, 0), -1);
    EXPECT_EQ(errno, ECHILD);
  });
}

TEST_F(HostHygiene, ALoopThatWaitsForEveryChildSeesItsOwnAndNoOther) {
  in_a_host([] {
    constexpr int kChildren = 30;
    warm_up();
    std::map<pid_t, int> seen;
    std::thread loop([&seen] {
      while (seen.size() < kChildren) {
        int status = 0;
        const pid_t child = ::waitpid(-1, &status, 0);
        if (child > 0) seen[child] = WEXITSTATUS(status);
      }
    });
    std::map<pid_t, int> forked;
    for (int i = 0; i < kChildren; ++i) {
      make_calls();
      forked[fork_child(i)] = i;
    }
    loop.join();
    EXPECT_EQ(seen, forked);
  });
}

TEST_F(HostHygiene, ALoopThatWaitsForEveryChildDoesNotHinderTheStartOfTheForkServer) {
  in_a_host([] {
    std::atomic<bool> done = false;
    std::thread loop([&] {
      while (!done) ::waitpid(-1, nullptr, WNOHANG);
    });
    make_calls();
    done = true;
    loop.join();
  });
}

TEST_F(HostHygiene, TheProgramsThatTheHostExecutesInheritNothingOfOurs) {
  KillableThread thread(sleep_for_ever);
  thread.start();
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone);
    const bool may_be_ours = target.starts_with("socket:") ||
                             target.starts_with("anon_inode:") ||
                             target.starts_with("/memfd:killable");
    if (fd > STDERR_FILENO && may_be_ours) {
      EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << target;
    }
  }
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
}

// --- Forks of the host -----------------------------------------------------------------

TEST_F(HostHygiene, AChildHasAForkServerOfItsOwnAndItsParentsCallsGoOn) {
  KillableThread parents(
      [](std::string go) {
        while (!std::filesystem::exists(go)) ::usleep(1000);
        return 7;
      },
      path("go"));
  parents.start();
  const SessionProcesses ours = the_session();
  {
    ChildHost child([&] {
      make_calls();
      signal_file(path("served"));
      sleep_for_ever();
    });
    await_file(path("served"));
    EXPECT_NE(the_session_besides(ours), ours);
  }
  EXPECT_TRUE(eventually([&] { return all_sessions().size() == 1; }));
  EXPECT_EQ(the_session(), ours);
  EXPECT_TRUE(parents.is_alive());
  signal_file(path("go"));
  EXPECT_EQ(parents.getResult(), 7);
}

TEST_F(HostHygiene, AChildsCopyOfAHandleIsLostAndHasNoHoldOnTheCall) {
  KillableThread running(sleep_for_ever);
  KillableThread returned([] {});
  running.start();
  returned.start();
  returned.join();
  in_a_host([&] {
    for (auto* copy : {&running, &returned}) {
      EXPECT_EQ(copy->state(), State::lost);
      EXPECT_FALSE(copy->is_alive());
      EXPECT_EQ(copy->get_id(), 0);
      copy->join();
      EXPECT_EQ(wait_any(std::span(copy, 1)), 0u);
      copy->kill(0ms);
      copy->raise_exception();
      EXPECT_FALSE(copy->request_stop());
      EXPECT_THROW(copy->getResult(), WorkerLost);
      EXPECT_EQ(copy->report().state, State::lost);
    }
    // The destructor's turn.
    const KillableThread taken = std::move(running);
  });
  EXPECT_TRUE(running.is_alive());
  EXPECT_TRUE(is_alive(running.get_id()));
  running.kill();
  EXPECT_TRUE(ends_killed(running));
  EXPECT_NO_THROW(returned.getResult());
}

TEST_F(HostHygiene, AHostMayForkWhileItsThreadsCall) {
  in_a_host([] {
    std::atomic<bool> done = false;
    std::vector<std::jthread> callers;
    for (int i = 0; i < 3; ++i)
      callers.emplace_back([&] {
        while (!done) {
          EXPECT_EQ(call([](int n) { return n; }, 7), 7);
        }
      });
    for (int i = 0; i < repetitions(50); ++i) {
      const pid_t child = ::fork();
      if (child == 0) ::_exit(call([](int n) { return n + 1; }, i));
      EXPECT_EQ(wait_for(child), i + 1);
    }
    done = true;
  });
}

TEST_F(HostHygiene, AHandleIsTheParentsAlsoInAForkWithoutAtforkHandlers) {
  KillableThread thread(::pause);
  thread.start();
  const pid_t child = ::_Fork();
  if (child == 0) {
    // What the parent's sockets and locks have to do with it would block these.
    thread.join();
    thread.kill(0ms);
    ::_exit(thread.state() == State::lost && thread.get_id() == 0 ? 0 : 1);
  }
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_EQ(thread.state(), State::running);
}

TEST_F(HostHygiene, ThreeGenerationsOfForksEachCall) {
  in_a_host([] {
    EXPECT_EQ(call([] { return 1; }), 1);
    in_a_host([] {
      EXPECT_EQ(call([] { return 2; }), 2);
      in_a_host([] { make_calls(); });
      EXPECT_EQ(call([] { return 3; }), 3);
    });
    make_calls();
  });
}

// --- Nesting ---

/// Makes calls at `depth` levels below, then waits for ever if told to.
int nest(int depth, std::string lineage, bool sleeps) {
  if (depth == 0) {
    if (sleeps) {
      found_lineage(lineage);
      ignore_every_signal();
      signal_file(lineage + ".ready");
      sleep_for_ever();
    }
    make_calls();
    return 1;
  }
  return 1 + call(nest, depth - 1, lineage, sleeps);
}

TEST_F(HostHygiene, WorkersCallThreeLevelsDeep) {
  EXPECT_EQ(call(nest, 3, path("lineage"), false), 4);
}

TEST_F(HostHygiene, TheKillOfTheOutermostCallEndsTheInnermost) {
  KillableThread thread(nest, 3, path("lineage"), true);
  thread.start();
  await_file(path("lineage.ready"));
  EXPECT_FALSE(is_extinct(path("lineage")));
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_TRUE(is_extinct(path("lineage")));
}

}  // namespace
}  // namespace killable::test
