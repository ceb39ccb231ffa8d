#include <killable/killable.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <thread>

#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

/// What one call does to its process, and that the next call of the pool does not find
/// it.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

struct Change {
  const char* name;
  void (*make)();
};

void nothing() {}

const Change kChanges[] = {
    {"ASignalHandler", [] { ::signal(SIGUSR1, [](int) {}); }},
    {"AHandlerForSigsys", [] { ::signal(SIGSYS, [](int) {}); }},
    {"ASignalStack",
     [] {
       static char memory[1 << 16];
       const stack_t stack{.ss_sp = memory, .ss_flags = 0, .ss_size = sizeof memory};
       ::sigaltstack(&stack, nullptr);
     }},
    {"AnIgnoredSignal", [] { ::signal(SIGPIPE, SIG_IGN); }},
    {"AHandlerForSigterm", [] { ::signal(SIGTERM, [](int) {}); }},
    {"ABlockedSignal", block_every_signal},
    {"APendingSignal",
     [] {
       block_every_signal();
       ::raise(SIGUSR2);
     }},
    {"AnEnvironmentVariable", [] { ::setenv("KILLABLE_TEST_LEFT", "x", 1); }},
    {"AMissingEnvironmentVariable", [] { ::unsetenv("PATH"); }},
    {"AWorkingDirectory", [] { [[maybe_unused]] const int n = ::chdir("/proc"); }},
    {"AUmask", [] { ::umask(0); }},
    {"RenouncedPrivileges", [] { ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }},
    {"AThread", [] { std::thread(sleep_for_ever).detach(); }},
    {"AChild",
     [] {
       if (::fork() == 0) sleep_for_ever();
     }},
    {"ADaemon",
     [] {
       if (::fork() == 0) {
         if (::fork() == 0) sleep_for_ever();
         ::_exit(0);
       }
     }},
    {"AnAlarm", [] { ::alarm(1000); }},
    {"AZombie",
     [] {
       if (::fork() == 0) ::_exit(0);
     }},
};

class PoolIsolation : public NothingIsLeft,
                      public ::testing::WithParamInterface<Change> {};

TEST_P(PoolIsolation, DoesNotReachTheNextCall) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = pool.submit(::getpid).getResult();
  EXPECT_EQ(pool.submit(::getpid).getResult(), worker);
  pool.submit(GetParam().make).getResult();
  EXPECT_NE(pool.submit(::getpid).getResult(), worker);
}

INSTANTIATE_TEST_SUITE_P(Changes, PoolIsolation, ::testing::ValuesIn(kChanges),
                         [](const auto& change) {
                           return std::string(change.param.name);
                         });

class PoolWorkers : public NothingIsLeft {};

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(PoolWorkers, AreKeptIfNothingWasLeft) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = pool.submit(::getpid).getResult();
  pool.submit(nothing).getResult();
  pool.submit([] { std::thread([] {}).join(); }).getResult();
  pool.submit([] {
        ::setenv("KILLABLE_TEST_LEFT", "x", 1);
        ::unsetenv("KILLABLE_TEST_LEFT");
      })
      .getResult();
  const pid_t after = pool.submit(::getpid).getResult();
  EXPECT_EQ(after, worker);
}

TEST_F(PoolWorkers, KeepTheOutputOfTheirCallsApart) {
  const auto write = [](std::string file, std::string text) {
    write_output_to(file);
    std::cout << text;
    std::printf("%s", text.c_str());
  };
  ProcessPool pool({.workers = 1});
  pool.submit(write, path("first"), "one").getResult();
  EXPECT_EQ(await_file(path("first")), "oneone");
}

TEST_F(PoolWorkers, WriteWhatTheStandardStreamsHoldBeforeTheirResultIsDelivered) {
  const auto write = [](std::string file) {
    write_output_to(file);
    std::ios::sync_with_stdio(false);
    std::cerr.unsetf(std::ios::unitbuf);
    std::clog << "clog ";
    std::cerr << "cerr ";
    std::cout << "cout ";
    ::setvbuf(stderr, nullptr, _IOFBF, 1024);
    std::fputs("stderr", stderr);
  };
  ProcessPool pool({.workers = 1});
  pool.submit(write, path("output")).getResult();
  EXPECT_EQ(read_file(path("output")), "cout clog cerr stderr");
}

TEST_F(PoolWorkers, WriteWhatAnotherBufferOfAStandardStreamHolds) {
  const auto write = [](std::string file) {
    static std::filebuf buffer;
    buffer.open(file, std::ios::out);
    std::cout.rdbuf(&buffer);
    std::cout << "held";
  };
  ProcessPool pool({.workers = 1});
  pool.submit(write, path("output")).getResult();
  EXPECT_EQ(read_file(path("output")), "held");
}

TEST_F(PoolWorkers, HaveTheMemoryThatEarlierCallsLeft) {
  static int calls = 0;
  ProcessPool pool({.workers = 1});
  const auto count = [] { return ++calls; };
  EXPECT_EQ(pool.submit(count).getResult(), 1);
  EXPECT_EQ(pool.submit(count).getResult(), 2);
  EXPECT_EQ(calls, 0);
}

TEST_F(PoolWorkers, HaveNoDescriptorsOfTheHost) {
  ProcessPool pool({.workers = 1});
  pool.submit(nothing).getResult();
  const auto highest = [] {
    int fd = 63;
    while (::fcntl(fd, F_GETFD) == -1) --fd;
    return fd;
  };
  // Channel, bell and /proc/self/status, besides the standard ones.
  EXPECT_EQ(pool.submit(highest).getResult(), 8);
}

TEST_F(PoolWorkers, ShowTheNameOfTheirCall) {
  ProcessPool pool({.workers = 1});
  const auto shown = [] {
    std::string line;
    std::getline(std::ifstream("/proc/self/cmdline"), line, '\0');
    return line;
  };
  EXPECT_EQ(pool.submit({.name = "first"}, shown).getResult(), "killable: first");
  EXPECT_EQ(pool.submit({.name = "second"}, shown).getResult(), "killable: second");
}

}  // namespace
}  // namespace killable::test
