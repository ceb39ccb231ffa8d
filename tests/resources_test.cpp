#include <killable/killable.hpp>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/child_host.hpp"
#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/limited.hpp"
#include "support/sanitizers.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Resources : public NothingIsLeft {
 protected:
  /// Has the next call launch another guard.
  static void end_the_session() {
    end_process(the_process_named("killable-guard"));
    ASSERT_TRUE(eventually([] { return processes_named("killable-server").empty(); }));
  }

  /// The same, and the host has closed what it had of the old one's spares.
  static void lose_the_session() {
    KillableThread thread([] { ::pause(); });
    thread.start();
    end_the_session();
    thread.join();
  }
};

int twice(int n) { return 2 * n; }

/// What prevents the start of a call; empty if it worked.
std::optional<StartError> start_error(Options options = {}) {
  options.name = "short";
  try {
    EXPECT_EQ(call(options, twice, 21), 42);
    return std::nullopt;
  } catch (const StartError& error) {
    return error;
  }
}

// --- Descriptors ---

/// Starts calls while `process` has 0, 1, 2... free descriptors, until one starts. Each
/// that does not tells why, and the one after the relief starts.
template <class Prepare>
void expect_errors_until_enough(pid_t (*process)(), Options options, Prepare prepare) {
  int free = 0;
  for (bool enough = false; !enough; ++free) {
    ASSERT_LT(free, 50);
    prepare();
    {
      const pid_t pid = process();
      const Limited descriptors(pid, RLIMIT_NOFILE, limit_for(pid, free));
      const auto error = start_error(options);
      enough = !error;
      if (error) expect_error(*error, EMFILE);
    }
    EXPECT_EQ(call(options, twice, 21), 42) << "after relief, " << free;
    warm_up();
  }
  EXPECT_GT(free, 1) << "no start was short of descriptors";
}

/// Not one that a spare can serve.
const Options kUnlikeTheSpares{.max_result_bytes = 1000};

void nothing() {}
pid_t fork_server() { return the_process_named("killable-server"); }

TEST_F(Resources, ACallThatASpareServesNeedsNoDescriptor) {
  const Limited descriptors(::getpid(), RLIMIT_NOFILE, limit_for(::getpid(), 0));
  EXPECT_EQ(call(twice, 21), 42);
}

TEST_F(Resources, OutOfDescriptorsForANewWorkerIsAStartError) {
  expect_errors_until_enough(::getpid, kUnlikeTheSpares, nothing);
}

TEST_F(Resources, OutOfDescriptorsACallHasThoseOfTheOneThatEndedBeforeIt) {
  KillableThread before(twice, 21);
  before.start();
  EXPECT_EQ(before.getResult(), 42);
  // A new worker takes five.
  const Limited descriptors(::getpid(), RLIMIT_NOFILE, limit_for(::getpid(), 2));
  EXPECT_EQ(call(kUnlikeTheSpares, twice, 21), 42);
}

TEST_F(Resources, OutOfDescriptorsTheErrorNamesTheLimit) {
  const rlim_t limit = limit_for(::getpid(), 0);
  const Limited descriptors(::getpid(), RLIMIT_NOFILE, limit);
  const auto error = start_error(kUnlikeTheSpares);
  ASSERT_TRUE(error.has_value()) << "there was a descriptor";
  EXPECT_THAT(error->what(), HasSubstr("RLIMIT_NOFILE is " + std::to_string(limit)));
}

TEST_F(Resources, OutOfDescriptorsForASpawnedWorkerIsAStartError) {
  expect_errors_until_enough(::getpid, {.start_method = StartMethod::spawn}, nothing);
}

TEST_F(Resources, OutOfDescriptorsForAForkServerIsAStartError) {
  expect_errors_until_enough(::getpid, {}, lose_the_session);
  forget_holdings();
}

TEST_F(Resources, OutOfDescriptorsInTheForkServerIsAStartError) {
  expect_errors_until_enough(fork_server, kUnlikeTheSpares, nothing);
}

TEST_F(Resources, OutOfDescriptorsToWarmUpIsAStartError) {
  ChildHost host([] {
    int errors = 0;
    for (bool warm = false; !warm;) {
      const Limited descriptors(::getpid(), RLIMIT_NOFILE, limit_for(::getpid(), errors));
      try {
        warm_up();
        warm = true;
      } catch (const StartError& error) {
        expect_error(error, EMFILE);
        ++errors;
      }
    }
    EXPECT_EQ(call(twice, 21), 42);
    EXPECT_GT(errors, 0);
  });
  EXPECT_EQ(host.join(), 0);
}

TEST_F(Resources, OutOfDescriptorsTheCallsThatRunGoOn) {
  KillableThread thread(
      [](std::string file) {
        await_file(file);
        return 7;
      },
      path("go"));
  thread.start();
  {
    const Limited descriptors(::getpid(), RLIMIT_NOFILE, limit_for(::getpid(), 0));
    EXPECT_TRUE(start_error(kUnlikeTheSpares));
    EXPECT_FALSE(thread.join(10ms));
    EXPECT_TRUE(thread.is_alive());
  }
  signal_file(path("go"));
  EXPECT_EQ(thread.getResult(), 7);
}

TEST_F(Resources, OutOfDescriptorsACallStillEndsAndGivesItsResult) {
  KillableThread thread(twice, 21);
  KillableThread sleeper([] { ::pause(); });
  thread.start();
  sleeper.start();
  const Limited descriptors(::getpid(), RLIMIT_NOFILE, limit_for(::getpid(), 0));
  EXPECT_EQ(thread.getResult(), 42);
  sleeper.kill();
  EXPECT_THROW(sleeper.getResult(), Killed);
}

/// Starts something that would outlive its worker, and returns its pid.
pid_t leave_a_daemon() {
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    ::setsid();
    for (;;) ::pause();
  }
  return daemon;
}

TEST_F(Resources, OutOfDescriptorsTheForkServerStillEndsWhatWorkersLeaveBehind) {
  const pid_t server = fork_server();
  const Limited descriptors(server, RLIMIT_NOFILE, limit_for(server, 20));
  const auto leave = [](std::string file) {
    signal_file(file, std::to_string(leave_a_daemon()));
    for (;;) ::pause();
  };
  std::vector<KillableThread<void>> calls;
  std::vector<pid_t> daemons;
  try {
    for (;;) {
      const std::string file = path(std::to_string(calls.size()));
      KillableThread thread(kUnlikeTheSpares, leave, file);
      thread.start();
      calls.push_back(std::move(thread));
      daemons.push_back(await_pid(file));
    }
  } catch (const StartError& error) {
    expect_error(error, EMFILE);
  }
  ASSERT_FALSE(calls.empty());
  for (auto& each : calls) each.kill(0ms);
  for (auto& each : calls) each.join();
  for (const pid_t daemon : daemons) EXPECT_FALSE(is_alive(daemon));
}

// --- Memory ---

constexpr std::uint64_t kMegabyte = std::uint64_t{1} << 20;

TEST_F(Resources, OutOfMemoryIsAStartErrorAndTheCallMayBeStartedAgain) {
  const auto size = [](const std::string& text) { return text.size(); };
  KillableThread thread(kUnlikeTheSpares, size, std::string(64 * kMegabyte, 'x'));
  {
    // A sanitizer ends the process that has no memory at all.
    const Limited memory(::getpid(), RLIMIT_AS,
                         address_space_of(::getpid()) + 32 * kMegabyte);
    try {
      thread.start();
      ADD_FAILURE() << "there was memory";
    } catch (const StartError& error) {
      expect_error(error, ENOMEM);
      EXPECT_THAT(error.what(), HasSubstr("inbox"));
    }
    EXPECT_EQ(thread.state(), State::not_started);
  }
  thread.start();
  EXPECT_EQ(thread.getResult(), 64 * kMegabyte);
}

TEST_F(Resources, OutOfMemoryForTheResultIsAnErrorAndItMayBeHadLater) {
  KillableThread thread([] { return std::string(64 * kMegabyte, 'x'); });
  thread.start();
  thread.join();
  {
    const Limited memory(::getpid(), RLIMIT_AS,
                         address_space_of(::getpid()) + 32 * kMegabyte);
    try {
      thread.getResult();
      ADD_FAILURE() << "there was memory";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::not_enough_memory);
      EXPECT_THAT(error.what(), HasSubstr("result"));
    }
  }
  EXPECT_EQ(thread.getResult().size(), 64 * kMegabyte);
}

TEST_F(Resources, OutOfMemoryToEncodeTheArgumentsIsBadAlloc) {
  if (!kNewThrows) GTEST_SKIP() << "the sanitizer's operator new throws nothing";
  const auto size = [](const std::string& text) { return text.size(); };
  const std::string argument(64 * kMegabyte, 'x');
  const Limited memory(::getpid(), RLIMIT_AS,
                       address_space_of(::getpid()) + 32 * kMegabyte);
  EXPECT_THROW(KillableThread(size, argument), std::bad_alloc);
}

TEST_F(Resources, OutOfMemoryInTheWorkerIsAStartError) {
  for (const StartMethod method : {StartMethod::fork_server, StartMethod::spawn}) {
    if (method == StartMethod::spawn && !kExecKeepsMemoryLimit) continue;
    const Options options{.start_method = method, .max_result_bytes = 2000 * kMegabyte};
    {
      const pid_t server = fork_server();
      const Limited memory(server, RLIMIT_AS, address_space_of(server) + 500 * kMegabyte);
      const auto error = start_error(options);
      ASSERT_TRUE(error.has_value()) << "the slot fitted";
      expect_error(*error, ENOMEM);
      EXPECT_THAT(error->what(), HasSubstr("slot"));
    }
    EXPECT_EQ(call(options, twice, 21), 42);
  }
}

TEST_F(Resources, AHostWithLittleAddressSpaceIsToldSo) {
  if (!kExecKeepsMemoryLimit) GTEST_SKIP() << "ThreadSanitizer lifts the limit";
  ChildHost host([] {
    const Limited memory(::getpid(), RLIMIT_AS,
                         address_space_of(::getpid()) + 500 * kMegabyte);
    for (int i = 0; i < 5; ++i) {
      const auto error = start_error();
      ASSERT_TRUE(error.has_value()) << "a slot of 1 GB fitted";
      expect_error(*error, ENOMEM);
    }
    EXPECT_FALSE(start_error({.max_result_bytes = kMegabyte}));
  });
  EXPECT_EQ(host.join(), 0);
}

TEST_F(Resources, AHostWithALimitOnFilesIsToldSo) {
  ChildHost host([] {
    const Limited files(::getpid(), RLIMIT_FSIZE, 100 * kMegabyte);
    const auto error = start_error();
    ASSERT_TRUE(error.has_value()) << "a slot of 1 GB fitted";
    expect_error(*error, EFBIG);
    EXPECT_FALSE(start_error({.max_result_bytes = kMegabyte}));
  });
  EXPECT_EQ(host.join(), 0);
}

// --- Processes ---

/// A host of a user of its own, whose processes can be counted and limited.
void become_another_user() {
  if (::getuid() != 0) return;
  const uid_t user = 100'000 + static_cast<uid_t>(::getpid());
  ASSERT_EQ(::setgid(user), 0);
  ASSERT_EQ(::setuid(user), 0);
  // As before setuid(2), so that /proc/self is this user's own.
  ::prctl(PR_SET_DUMPABLE, 1);
}

TEST_F(Resources, OutOfProcessesForTheForkServerIsAStartError) {
  ChildHost host([] {
    become_another_user();
    {
      const Limited processes(::getpid(), RLIMIT_NPROC, 0);
      const auto error = start_error();
      ASSERT_TRUE(error.has_value()) << "there was a process";
      expect_error(*error, EAGAIN);
    }
    EXPECT_FALSE(start_error());
  });
  EXPECT_EQ(host.join(), 0);
}

TEST_F(Resources, OutOfProcessesAtAnyStepIsAStartError) {
  if (::getuid() != 0) GTEST_SKIP() << "other processes of this user would count";
  // The host, the executed image, the guard, the fork server, a worker.
  for (rlim_t processes = 1; processes <= 5; ++processes) {
    ChildHost host([processes] {
      become_another_user();
      {
        const Limited limited(::getpid(), RLIMIT_NPROC, processes * kThreadsOfAProcess);
        const auto error = start_error();
        EXPECT_EQ(error.has_value(), processes < 4) << processes;
        if (error) expect_error(*error, EAGAIN);
      }
    });
    EXPECT_EQ(host.join(), 0) << processes;
  }
}

TEST_F(Resources, OutOfProcessesForAWorkerIsAStartError) {
  ChildHost host([] {
    become_another_user();
    EXPECT_FALSE(start_error());
    {
      const Limited processes(fork_server(), RLIMIT_NPROC, 0);
      const auto error = start_error(kUnlikeTheSpares);
      ASSERT_TRUE(error.has_value()) << "there was a process";
      expect_error(*error, EAGAIN);
      EXPECT_THAT(error->what(), AllOf(HasSubstr("'short'"), HasSubstr("fork a worker")));
    }
    EXPECT_FALSE(start_error(kUnlikeTheSpares));
    EXPECT_FALSE(start_error());
  });
  EXPECT_EQ(host.join(), 0);
}

TEST_F(Resources, OutOfProcessesToWarmUpIsAStartError) {
  ChildHost host([] {
    become_another_user();
    EXPECT_FALSE(start_error());
    warm_up();
    {
      const Limited processes(fork_server(), RLIMIT_NPROC, 0);
      EXPECT_FALSE(start_error()) << "a spare was there";
      try {
        warm_up();
        ADD_FAILURE() << "a spare that cannot be forked is ready";
      } catch (const StartError& error) {
        expect_error(error, EAGAIN);
      }
    }
    warm_up();
    EXPECT_FALSE(start_error());
  });
  EXPECT_EQ(host.join(), 0);
}

// --- What a function asks for in its worker ---

enum class Short { of_descriptors, of_threads };

struct Answer {
  int error;           ///< Of a worker that was short of something; 0: none.
  bool gave_all_back;  ///< And has as many descriptors as before.
};

/// Asks whether to stop while there is none of what that takes, then waits for the stop.
Answer ask_twice(Short what, std::string ready) {
  const pid_t self = ::getpid();
  const rlim_t next_descriptor = limit_for(self, 0);
  Answer answer{.error = 0, .gave_all_back = true};
  try {
    // A thread is out of reach without the memory for its stack.
    const Limited limited =
        what == Short::of_descriptors
            ? Limited(self, RLIMIT_NOFILE, next_descriptor)
            : Limited(self, RLIMIT_AS, address_space_of(self) + kMegabyte);
    this_worker::stop_requested();
  } catch (const std::system_error& error) {
    answer.error = error.code().value();
  }
  answer.gave_all_back = limit_for(self, 0) == next_descriptor;
  const std::stop_token token = this_worker::stop_token();
  signal_file(ready);
  while (!token.stop_requested()) ::usleep(1000);
  return answer;
}

void expect_error_and_relief(Short what, const std::string& ready, int error) {
  KillableThread thread(ask_twice, what, ready);
  thread.start();
  await_file(ready);
  thread.request_stop();
  ASSERT_TRUE(ends(thread));
  const Answer answer = thread.getResult();
  EXPECT_EQ(answer.error, error);
  EXPECT_TRUE(answer.gave_all_back);
}

TEST_F(Resources, OutOfDescriptorsForAStopTokenIsAnErrorAndItMayBeHadLater) {
  expect_error_and_relief(Short::of_descriptors, path("ready"), EMFILE);
}

TEST_F(Resources, OutOfThreadsForAStopTokenIsAnErrorAndItMayBeHadLater) {
  if (kSanitizer) GTEST_SKIP() << "the sanitizer ends who has no memory for a thread";
  expect_error_and_relief(Short::of_threads, path("ready"), EAGAIN);
}

// --- Spares ---

TEST_F(Resources, SparesAreAsManyAsCallsStartAtOnceUpToTheBound) {
  configure({.spare_workers = 5});
  end_the_session();
  warm_up();
  // With guard and fork server.
  const auto has_spares = [](std::size_t count) {
    warm_up();
    return other_processes().size() == 2 + count;
  };
  EXPECT_TRUE(has_spares(2));
  const auto start_at_once = [](int count) {
    std::vector<KillableThread<int>> calls;
    for (int i = 0; i < count; ++i) calls.emplace_back(twice, i);
    for (auto& each : calls) each.start();
    for (auto& each : calls) each.join();
  };
  EXPECT_TRUE(eventually([&] {
    start_at_once(8);
    return has_spares(5);
  }));
  EXPECT_TRUE(eventually([&] {
    call(twice, 1);
    return has_spares(2);
  }));
  configure_for_tests();
  end_the_session();
  warm_up();
  forget_holdings();
}

TEST_F(Resources, WithoutSparesEveryCallWaitsForItsWorker) {
  configure({.spare_workers = 0});
  end_the_session();
  EXPECT_EQ(call(twice, 21), 42);
  EXPECT_TRUE(processes_named("killable-spare").empty());
  configure_for_tests();
  end_the_session();
  warm_up();
  forget_holdings();
}

}  // namespace
}  // namespace killable::test
