#include <killable/killable.hpp>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "os/unique_fd.hpp"
#include "support/child_host.hpp"
#include "support/fixture.hpp"
#include "support/sanitizers.hpp"

namespace killable::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// What a worker finds when its function is entered, for either start method.
class CleanWorker : public NothingIsLeft,
                    public ::testing::WithParamInterface<StartMethod> {
 protected:
  Options options(std::string name = {}) const {
    return {.name = std::move(name), .start_method = GetParam()};
  }

  /// Has the next call launch another guard, from the host as it is by then.
  void end_the_session() {
    end_process(the_process_named("killable-guard"));
    EXPECT_TRUE(eventually([] { return other_processes().empty(); }));
    forget_session_ = true;
  }

  void TearDown() override {
    if (forget_session_) {
      warm_up();
      forget_holdings();
    }
    NothingIsLeft::TearDown();
  }

 private:
  bool forget_session_ = false;
};

INSTANTIATE_TEST_SUITE_P(By, CleanWorker,
                         ::testing::Values(StartMethod::fork_server, StartMethod::spawn),
                         [](const auto& method) {
                           return method.param == StartMethod::spawn ? "spawn"
                                                                     : "fork_server";
                         });

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// --- Memory ---

int global = 1;

TEST_P(CleanWorker, HasNoGlobalOfTheHost) {
  global = 2;
  EXPECT_EQ(call(options(), [] { return global; }), 1);
  EXPECT_EQ(global, 2);
  global = 1;
}

TEST_P(CleanWorker, HasNoGlobalOfAnotherCall) {
  const auto count = [] {
    static int calls = 0;
    return ++calls + ++global;
  };
  EXPECT_EQ(call(options(), count), 3);
  EXPECT_EQ(call(options(), count), 3);
}

/// Whether the process's private memory holds the text whose inverted bytes these are.
bool memory_holds_inverse(std::vector<unsigned char> inverted) {
  const auto is_inverse = [](char memory, unsigned char byte) {
    return static_cast<unsigned char>(~static_cast<unsigned char>(memory)) == byte;
  };
  std::ifstream memory("/proc/self/mem", std::ios::binary);
  std::istringstream maps(read_file("/proc/self/maps"));
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char access[5] = {};
    std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, access);
    // Not the sanitizers' shadow, which is sparse and larger than any memory.
    constexpr std::uint64_t kLargest = std::uint64_t{1} << (kSanitizer ? 22 : 30);
    if (std::string_view(access) != "rw-p" || end - begin > kLargest) continue;
    std::string bytes(end - begin, '\0');
    memory.clear();
    memory.seekg(static_cast<std::streamoff>(begin));
    memory.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<std::size_t>(memory.gcount()));
    if (std::search(bytes.begin(), bytes.end(), inverted.begin(), inverted.end(),
                    is_inverse) != bytes.end())
      return true;
  }
  return false;
}

TEST_P(CleanWorker, HasNothingOfTheHostsHeap) {
  std::string secret(64, '\0');
  std::ranges::generate(secret, [] { return static_cast<char>(std::rand()); });
  std::vector<unsigned char> inverted;
  for (const char byte : secret) inverted.push_back(static_cast<unsigned char>(~byte));
  end_the_session();
  EXPECT_FALSE(call(options(), memory_holds_inverse, inverted));

  KillableThread here(memory_holds_inverse, inverted);
  here.run();
  EXPECT_TRUE(here.getResult()) << "the search does not find what is there: " << secret;
}

TEST_P(CleanWorker, HasOneThread) {
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  EXPECT_EQ(call(options(), count), kThreadsOfAProcess);
}

// --- Streams ---

TEST_P(CleanWorker, WritesNothingThatTheHostHasNotFlushed) {
  const std::string output = path("output");
  ChildHost host([&] {
    ASSERT_NE(std::freopen(output.c_str(), "w", stdout), nullptr);
    std::fputs("the host's\n", stdout);
    call(options(), [] { std::fputs("the first worker's\n", stdout); });
    const auto leave = [] {
      std::cout << "the second worker's\n";
      std::exit(0);
    };
    EXPECT_THROW(call(options(), leave), WorkerExited);
  });
  EXPECT_EQ(host.join(), 0);
  EXPECT_EQ(read_file(output), "the first worker's\nthe second worker's\nthe host's\n");
}

TEST_P(CleanWorker, ReadsNothingFromTheHostsInput) {
  const std::string input = path("input");
  signal_file(input, "for the host");
  ChildHost host([&] {
    const os::UniqueFd file(::open(input.c_str(), O_RDONLY));
    ::dup2(file.get(), STDIN_FILENO);
    const auto read_input = [] {
      char byte = 0;
      return std::pair(::read(STDIN_FILENO, &byte, 1),
                       std::filesystem::read_symlink("/proc/self/fd/0").string());
    };
    EXPECT_EQ(call(options(), read_input),
              std::pair(ssize_t{0}, std::string("/dev/null")));
    EXPECT_EQ(::lseek(STDIN_FILENO, 0, SEEK_CUR), 0);
  });
  EXPECT_EQ(host.join(), 0);
}

// --- Descriptors ---

/// What each open descriptor is, as /proc shows it.
std::map<int, std::string> descriptors() {
  std::map<int, std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // The directory's own.
    const std::string target = std::filesystem::read_symlink(entry, gone).string();
    if (target.find("/fd") == std::string::npos)
      found.emplace(std::stoi(entry.path().filename()), target);
  }
  return found;
}

TEST_P(CleanWorker, HasNoDescriptorsButTheStandardOnesItsChannelAndItsBell) {
  std::vector<os::UniqueFd> inheritable;
  for (int i = 0; i < 20; ++i) inheritable.emplace_back(::open("/dev/zero", O_RDONLY));
  end_the_session();
  KillableThread another([] { ::pause(); });
  another.start();
  std::map<int, std::string> found = call(options(), descriptors);
  EXPECT_EQ(found[0], "/dev/null");
  found.erase(0);
  found.erase(1);
  found.erase(2);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[3], StartsWith("socket:"));
  EXPECT_THAT(found[4], HasSubstr("eventfd"));
}

TEST_P(CleanWorker, HasNoDescriptorMoreForTheArraysThatWerePassed) {
  const auto count = [](std::vector<SharedArray<int>>) { return descriptors().size(); };
  const std::vector arrays{SharedArray<int>(1), SharedArray<int>(2)};
  EXPECT_EQ(call(options(), count, arrays), call(options(), descriptors).size());
}

TEST_P(CleanWorker, LeavesWhatItExecutesNoDescriptorButTheStandardOnes) {
  const auto list = [](std::string file) {
    const std::string command =
        "ls /proc/self/fd > " + file + ".draft; mv " + file + ".draft " + file;
    return std::system(command.c_str());
  };
  ASSERT_EQ(call(options(), list, path("list")), 0);
  // The fourth is the directory, opened by ls itself.
  EXPECT_EQ(await_file(path("list")), "0\n1\n2\n3\n");
}

TEST_P(CleanWorker, HasStandardDescriptorsAlsoIfTheHostHasNone) {
  ChildHost host([&] {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(fd);
    std::map<int, std::string> found = call(options(), descriptors);
    signal_file(path("found"), found[0] + " " + found[1] + " " + found[2]);
  });
  EXPECT_EQ(host.join(), 0);
  EXPECT_EQ(await_file(path("found")), "/dev/null /dev/null /dev/null");
}

TEST_P(CleanWorker, HasTheHostsLimitsAndLeavesNoCoreFile) {
  const auto limits = [](int resource) {
    rlimit limit{};
    ::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
    return std::array{limit.rlim_cur, limit.rlim_max};
  };
  for (const int resource : {RLIMIT_NOFILE, RLIMIT_STACK, RLIMIT_NPROC, RLIMIT_AS})
    EXPECT_EQ(call(options(), limits, resource), limits(resource)) << resource;
  EXPECT_LE(call(options(), limits, int{RLIMIT_CORE})[0], 1u);
}

// --- Signals ---

/// Those that are blocked, pending or not at their default action.
std::vector<int> unusual_signals() {
  std::vector<int> unusual;
  sigset_t mask;
  sigset_t pending;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  ::sigpending(&pending);
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) != 0) continue;  // glibc's own two.
    if (action.sa_handler != SIG_DFL || ::sigismember(&mask, signal) == 1 ||
        ::sigismember(&pending, signal) == 1)
      unusual.push_back(signal);
  }
  return unusual;
}

TEST_P(CleanWorker, HasNoSignalMaskAndNoHandlerOfTheHost) {
  ChildHost host([&] {
    for (int signal = 1; signal < NSIG; ++signal)
      ::signal(
          signal, signal % 2 == 0 ? SIG_IGN : [](int) {});
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
    ::raise(SIGUSR1);
    // SIGTERM is the library's: what makes it unwind the function.
    EXPECT_THAT(call(options(), unusual_signals), ElementsAre(SIGTERM));
    const auto sigterm_is_blocked = [] {
      sigset_t mask;
      ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      return ::sigismember(&mask, SIGTERM) == 1;
    };
    EXPECT_FALSE(call(options(), sigterm_is_blocked));
  });
  EXPECT_EQ(host.join(), 0);
}

TEST_P(CleanWorker, HasNoHandlerOfAnotherCall) {
  call(options(), [] { ::signal(SIGUSR1, SIG_IGN); });
  EXPECT_THAT(call(options(), unusual_signals), ElementsAre(SIGTERM));
}

// --- Its place among the processes ---

TEST_P(CleanWorker, LeadsASessionAndAGroupOfItsOwn) {
  const auto leads = [] {
    return std::array{::getsid(0) == ::getpid(), ::getpgrp() == ::getpid()};
  };
  EXPECT_THAT(call(options(), leads), ElementsAre(true, true));
}

TEST_P(CleanWorker, IsASubreaper) {
  const auto is_subreaper = [] {
    int value = 0;
    ::prctl(PR_GET_CHILD_SUBREAPER, &value);
    return value;
  };
  EXPECT_EQ(call(options(), is_subreaper), 1);
}

TEST_P(CleanWorker, IsNamedForPsAsItsCallIs) {
  const auto names = [] {
    return std::array{read_file("/proc/self/comm"), read_file("/proc/self/cmdline")};
  };
  const auto [comm, cmdline] = call(options("decode of a picture"), names);
  EXPECT_EQ(comm, "decode of a pic\n");
  EXPECT_EQ(std::string(cmdline.c_str()), "killable: decode of a picture");
}

TEST_P(CleanWorker, IsNoChildOfTheHost) {
  EXPECT_NE(call(options(), ::getppid), ::getpid());
}

}  // namespace
}  // namespace killable::test
