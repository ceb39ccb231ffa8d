#include <killable/killable.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/fixture.hpp"
#include "support/limited.hpp"

/// Where the memory of SharedArrays comes from and goes to.
namespace killable::test {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::HasSubstr;

class SharedArrayMemory : public NothingIsLeft {};

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

struct Held {
  std::size_t mappings = 0;
  std::size_t descriptors = 0;
  bool operator==(const Held&) const = default;
};

/// What this process holds of shared memory.
Held held() {
  Held held;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    held.mappings += line.find("memfd:killable") != std::string::npos;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(each, gone).string();
    held.descriptors += target.find("memfd:killable") != std::string::npos;
  }
  return held;
}

// --- In the host ---

TEST_F(SharedArrayMemory, GoesWithTheLastHolder) {
  configure({.spare_workers = 0});
  const Held before = held();
  {
    const SharedArray<int> array(1000);
    KillableThread thread(
        [](SharedArray<int> mine) { return std::pair(mine, SharedArray<int>(2000)); },
        array);
    thread.start();
    const auto both = thread.getResult();
    EXPECT_NE(held(), before);
  }
  EXPECT_EQ(held(), before);
  configure_for_tests();
}

TEST_F(SharedArrayMemory, IsNotHeldByACallThatHasNoValue) {
  configure({.spare_workers = 0});
  const Held before = held();
  KillableThread killed(
      [](SharedArray<int>) {
        for (;;) ::pause();
      },
      SharedArray<int>(1000));
  KillableThread threw([](SharedArray<int>) { throw std::runtime_error("no"); },
                       SharedArray<int>(1000));
  killed.start();
  threw.start();
  killed.kill(0ms);
  EXPECT_THROW(killed.getResult(), Killed);
  EXPECT_THROW(threw.getResult(), std::runtime_error);
  EXPECT_LE(held().descriptors, before.descriptors);
  configure_for_tests();
}

TEST_F(SharedArrayMemory, IsSharedWithAWorkerThatIsAForkOfTheHost) {
  const SharedArray<int> array(10);
  call(forked([array] { array[0] = 5; }));
  EXPECT_EQ(array[0], 5);
  const auto fill = [array](SharedArray<int> other) {
    std::ranges::fill(other, array[0]);
  };
  const SharedArray<int> other(10);
  call(forked(fill), other);
  EXPECT_THAT(other, Each(5));
}

// --- In the worker ---

struct Limits {
  std::size_t max_result_bytes;
  std::size_t array;
};

TEST_F(SharedArrayMemory, OfAWorkerIsBoundedByMaxResultBytes) {
  const auto make = [](std::size_t size) { return SharedArray<char>(size).size(); };
  for (const Limits limits :
       {Limits{1000, 1}, Limits{8192, 8193}, Limits{64 * kMegabyte, 64 * kMegabyte},
        Limits{kMegabyte << 10, kMegabyte << 10}}) {
    const Options options{.max_result_bytes = limits.max_result_bytes};
    try {
      call(options, make, limits.array);
      ADD_FAILURE() << limits.array << " bytes fitted into " << limits.max_result_bytes;
    } catch (const LimitExceeded& error) {
      EXPECT_THAT(error.what(), HasSubstr("max_result_bytes"));
      EXPECT_THAT(error.what(), HasSubstr(std::to_string(limits.array)));
      EXPECT_THAT(error.what(), HasSubstr(std::to_string(limits.max_result_bytes)));
    }
  }
  EXPECT_EQ(call({.max_result_bytes = 8192}, make, 8192), 8192u);
  EXPECT_EQ(call({.max_result_bytes = 64 * kMegabyte}, make, 63 * kMegabyte),
            63 * kMegabyte);
}

TEST_F(SharedArrayMemory, AndTheResultBesideItAreBoundedTogether) {
  const auto make = [](std::size_t array, std::size_t text) {
    SharedArray<char> made(array);
    std::ranges::fill(made, 'a');
    return std::pair(made, std::string(text, 't'));
  };
  const Options options{.max_result_bytes = 64 * kMegabyte};
  const auto [array, text] = call(options, make, 32 * kMegabyte, 31 * kMegabyte);
  EXPECT_TRUE(std::ranges::all_of(array, [](char c) { return c == 'a'; }));
  EXPECT_TRUE(std::ranges::all_of(text, [](char c) { return c == 't'; }));
  try {
    call(options, make, 32 * kMegabyte, 33 * kMegabyte);
    ADD_FAILURE() << "65 MiB fitted into 64";
  } catch (const LimitExceeded& error) {
    EXPECT_THAT(error.what(), HasSubstr("max_result_bytes"));
    EXPECT_THAT(error.what(),
                HasSubstr("SharedArrays take " + std::to_string(32 * kMegabyte)));
  }
}

TEST_F(SharedArrayMemory, ThatIsFullLeavesRoomForAnException) {
  const auto fill = [] {
    std::vector<SharedArray<char>> arrays;
    try {
      for (;;) arrays.emplace_back(kMegabyte);
    } catch (const LimitExceeded&) {
    }
    throw std::out_of_range(std::to_string(arrays.size()) + " MiB");
  };
  try {
    call({.max_result_bytes = 16 * kMegabyte}, fill);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::out_of_range& error) {
    EXPECT_STREQ(error.what(), "15 MiB");
  }
}

TEST_F(SharedArrayMemory, OfDroppedArraysMayBeTheResults) {
  const auto make = [] {
    for (const std::size_t size : {5, 20, 10})
      SharedArray<char>(size * kMegabyte)[0] = 'x';
    return std::string(60 * kMegabyte, 't');
  };
  EXPECT_EQ(call({.max_result_bytes = 64 * kMegabyte}, make).size(), 60 * kMegabyte);
}

TEST_F(SharedArrayMemory, OfDroppedArraysIsTakenAgainAndZero) {
  const auto make_many = [] {
    std::size_t dirty = 0;
    for (int i = 0; i < 20; ++i) {
      SharedArray<char> array(3 * kMegabyte);
      for (std::size_t at = 0; at < array.size(); at += 1000) {
        dirty += array[at] != 0;
        array[at] = 'x';
      }
    }
    return dirty;
  };
  EXPECT_EQ(call({.max_result_bytes = 8 * kMegabyte}, make_many), 0u);
}

/// Bytes of this worker's slot that take memory.
std::uint64_t slot_memory() {
  // The descriptor is closed, but the mapping names the file.
  std::ifstream smaps("/proc/self/smaps");
  bool ours = false;
  std::uint64_t kilobytes = 0;
  for (std::string line; std::getline(smaps, line);) {
    std::array<char, 5> permissions{};
    if (std::sscanf(line.c_str(), "%*x-%*x %4s", permissions.data()) == 1)
      ours = line.find("rw-s") != std::string::npos &&
             line.find("memfd:killable") != std::string::npos;
    if (ours && line.starts_with("Rss:")) kilobytes += std::stoull(line.substr(4));
  }
  return kilobytes * 1024;
}

TEST_F(SharedArrayMemory, OfDroppedArraysGoesBackToTheSystem) {
  const auto drop = [] {
    std::array<std::uint64_t, 2> bytes{};
    {
      SharedArray<char> array(8 * kMegabyte);
      std::ranges::fill(array, 'x');
      bytes[0] = slot_memory();
    }
    bytes[1] = slot_memory();
    return bytes;
  };
  const auto [while_held, after] = call(drop);
  EXPECT_GE(while_held, 8 * kMegabyte);
  EXPECT_LT(after, kMegabyte);
}

/// Makes, fills, drops and looks at arrays of all sizes; counts those that were not zero
/// at first, or changed.
int churn(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::pair<SharedArray<unsigned>, unsigned>> arrays;
  int wrong = 0;
  const auto drop = [&](std::size_t at) {
    const auto& [array, value] = arrays[at];
    wrong +=
        !std::ranges::all_of(array, [v = value](unsigned each) { return each == v; });
    arrays.erase(arrays.begin() + static_cast<std::ptrdiff_t>(at));
  };
  for (unsigned i = 1; i < 500; ++i) {
    if (arrays.size() > 20 || (!arrays.empty() && random() % 2 == 0))
      drop(random() % arrays.size());
    SharedArray<unsigned> array(1 + random() % 20'000);
    wrong += !std::ranges::all_of(array, [](unsigned each) { return each == 0; });
    std::ranges::fill(array, i);
    arrays.emplace_back(array, i);
  }
  while (!arrays.empty()) drop(0);
  return wrong;
}

TEST_F(SharedArrayMemory, IsSharedOutInAnyOrder) {
  // Twenty arrays of 80 KB at most; a slot that is never tidied would not do.
  EXPECT_EQ(call({.max_result_bytes = 6 * kMegabyte}, churn, 1u), 0);
}

TEST_F(SharedArrayMemory, IsSharedOutToTheThreadsOfAFunction) {
  const auto churn_in_threads = [] {
    std::atomic<int> wrong = 0;
    std::vector<std::jthread> threads;
    for (unsigned seed = 0; seed < 3; ++seed)
      threads.emplace_back([&wrong, seed] { wrong += churn(seed); });
    threads.clear();
    return wrong.load();
  };
  EXPECT_EQ(call(churn_in_threads), 0);
}

TEST_F(SharedArrayMemory, IsNotGivenBackByAProcessThatTheWorkerForked) {
  const auto fork_with_array = [] {
    SharedArray<int> array(100'000);
    std::ranges::fill(array, 7);
    const pid_t child = ::fork();
    if (child == 0) {
      array = SharedArray<int>();
      SharedArray<int> own(100'000);
      std::ranges::fill(own, 8);
      ::_exit(own.back() == 8 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) throw std::runtime_error("the child could not make an array");
    return array;
  };
  EXPECT_THAT(call(fork_with_array), Each(7));
}

TEST_F(SharedArrayMemory, MadeAfterTheResultWasBegunIsAlsoItsOwn) {
  // An array that is made while the result is encoded, by a thread that goes on.
  const auto go_on = [] {
    std::thread([] {
      for (;;) std::ranges::fill(SharedArray<char>(kMegabyte), 'x');
    }).detach();
    return std::string(12 * kMegabyte, 't');
  };
  for (int i = 0; i < 5; ++i) {
    const std::string text = call({.max_result_bytes = 16 * kMegabyte}, go_on);
    EXPECT_TRUE(std::ranges::all_of(text, [](char c) { return c == 't'; }));
  }
}

// --- Not enough of it ---

/// No spare has a slot of another size than the plain one.
const Options forked_for_it{.max_result_bytes = 1 << 20};

pid_t fork_server() { return the_process_named("killable-server"); }

TEST_F(SharedArrayMemory, OutOfDescriptorsToPassItIsAStartError) {
  const std::vector arrays{SharedArray<int>(1), SharedArray<int>(2)};
  const auto count = [](std::vector<SharedArray<int>> all) { return all.size(); };
  using Process = pid_t (*)();
  const pid_t server = fork_server();
  for (const Process process : {Process(::getpid), Process(fork_server)}) {
    int errors = 0;
    for (bool passed = false; !passed; ++errors) {
      const pid_t pid = process();
      const Limited descriptors(pid, RLIMIT_NOFILE, limit_for(pid, errors));
      try {
        passed = call(forked_for_it, count, arrays) == 2;
      } catch (const StartError& error) {
        expect_error(error, EMFILE);
        ASSERT_LT(errors, 50);
      }
    }
    EXPECT_GT(errors, 5) << "no start was short of descriptors";
    EXPECT_EQ(fork_server(), server) << "the fork server did not survive it";
  }
}

TEST_F(SharedArrayMemory, OutOfDescriptorsToMakeItIsASystemError) {
  const Limited descriptors(::getpid(), RLIMIT_NOFILE, limit_for(::getpid(), 0));
  try {
    SharedArray<int>(1);
    ADD_FAILURE() << "there was a descriptor";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EMFILE);
    EXPECT_THAT(error.what(), HasSubstr("SharedArray"));
  }
}

TEST_F(SharedArrayMemory, OutOfAddressSpaceForItIsAnErrorInHostAndWorker) {
  const SharedArray<char> passed(900 * kMegabyte);
  const auto size = [](SharedArray<char> array) { return array.size(); };
  {
    const Limited memory(::getpid(), RLIMIT_AS, address_space_of(::getpid()) + kMegabyte);
    EXPECT_THROW(SharedArray<char>(64 * kMegabyte), std::system_error);
  }
  {
    const pid_t server = fork_server();
    const Limited memory(server, RLIMIT_AS, address_space_of(server) + 800 * kMegabyte);
    try {
      call(forked_for_it, size, passed);
      ADD_FAILURE() << "there was memory";
    } catch (const StartError& error) {
      expect_error(error, ENOMEM);
      EXPECT_THAT(error.what(), HasSubstr("SharedArray"));
    }
  }
  EXPECT_EQ(call(size, passed), 900 * kMegabyte);
}

TEST_F(SharedArrayMemory, OutOfAddressSpaceForThatOfAResultItMayBeHadLater) {
  KillableThread thread([] { return SharedArray<char>(64 * kMegabyte); });
  thread.start();
  thread.join();
  {
    const Limited memory(::getpid(), RLIMIT_AS,
                         address_space_of(::getpid()) + 32 * kMegabyte);
    EXPECT_THROW(thread.getResult(), std::system_error);
  }
  EXPECT_EQ(thread.getResult().size(), 64 * kMegabyte);
}

// --- From worker to worker ---

TEST_F(SharedArrayMemory, OfAWorkerIsNotPassedToCallsThatItStarts) {
  const auto pass_on = [](SharedArray<int> given, bool made) {
    call([](SharedArray<int>) {}, made ? SharedArray<int>(10) : given);
  };
  for (const bool made : {true, false}) try {
      call(pass_on, SharedArray<int>(10), made);
      ADD_FAILURE() << "it was passed on";
    } catch (const CodecError& error) {
      EXPECT_THAT(error.what(), HasSubstr("a call that a worker starts"));
    }
}

SharedArray<int> make_sevens() {
  SharedArray<int> array(100);
  std::ranges::fill(array, 7);
  return array;
}

TEST_F(SharedArrayMemory, OfANestedCallIsTheNestingWorkersToReadAndToPassOn) {
  const auto nest = [] {
    const SharedArray<int> made = call(make_sevens);
    call([](SharedArray<int> array) { array[0] = 8; }, made);
    return made[0] + made[99];
  };
  EXPECT_EQ(call(nest), 15);
}

TEST_F(SharedArrayMemory, OfANestedCallIsNotReturnedFurther) {
  EXPECT_THROW(call([] { return call(make_sevens); }), CodecError);
}

// --- Inline ---

TEST_F(SharedArrayMemory, IsTheHostsOwnInACallThatRunsInline) {
  const SharedArray<int> given(10);
  const auto both = [](SharedArray<int> array) {
    array[0] = 3;
    return std::pair(array, make_sevens());
  };
  KillableThread thread(both, given);
  thread.run();
  const auto [same, made] = thread.getResult();
  EXPECT_EQ(same.data(), given.data());
  EXPECT_EQ(given[0], 3);
  EXPECT_THAT(made, Each(7));
  EXPECT_EQ(thread.getResult().second.data(), made.data());
  const auto add = [](SharedArray<int> array) { array[0] += 1; };
  call(add, made);
  EXPECT_EQ(made[0], 8);
}

TEST_F(SharedArrayMemory, IsTheHostsOwnWhereEveryCallRunsInline) {
  ::setenv("KILLABLE_INLINE", "1", 1);
  const auto made = call(make_sevens);
  ::unsetenv("KILLABLE_INLINE");
  EXPECT_THAT(made, Each(7));
  call([](SharedArray<int> array) { array[0] = 1; }, made);
  EXPECT_EQ(made[0], 1);
}

TEST_F(SharedArrayMemory, OfAnInlineCallInAWorkerIsThatWorkers) {
  const auto run_inline = [](SharedArray<int> given) {
    KillableThread thread(
        [](SharedArray<int> array) { return std::pair(array, make_sevens()); }, given);
    thread.run();
    return thread.getResult();
  };
  const SharedArray<int> given(10);
  const auto [same, made] = call(run_inline, given);
  EXPECT_EQ(same.data(), given.data());
  EXPECT_THAT(made, Each(7));
}

}  // namespace
}  // namespace killable::test
