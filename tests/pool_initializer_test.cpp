#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/ends.hpp"
#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

/// What each worker of a pool runs before its calls.
namespace killable::test {
namespace {

class PoolInitializer : public NothingIsLeft {};

int twice(int n) { return 2 * n; }

int prepared = 0;

void prepare(int value, const std::string& file) {
  prepared += value;
  std::ofstream(file, std::ios::app) << ::getpid() << '\n';
}

TEST_F(PoolInitializer, TheInitializerRunsOncePerWorker) {
  ProcessPool pool({.workers = 2, .initializer = Initializer(prepare, 5, path("log"))});
  for (const int seen : pool.map([](int) { return prepared; }, std::vector<int>(20)))
    EXPECT_EQ(seen, 5);
  std::ifstream log(path("log"));
  std::set<std::string> prepared_in;
  for (std::string worker; std::getline(log, worker);)
    EXPECT_TRUE(prepared_in.insert(worker).second) << worker;
  EXPECT_LE(prepared_in.size(), 2u);
}

TEST_F(PoolInitializer, TheInitializerIsNoneOfTheCallsThatAWorkerMayRun) {
  ProcessPool pool({.workers = 1,
                    .max_calls_per_worker = 1,
                    .initializer = Initializer(prepare, 5, path("log"))});
  std::set<pid_t> workers;
  for (int i = 0; i < 3; ++i) {
    auto call = pool.submit([] { return prepared == 5 ? ::getpid() : 0; });
    ASSERT_TRUE(ends(call));
    workers.insert(call.getResult());
  }
  EXPECT_EQ(workers.size(), 3u);
  EXPECT_FALSE(workers.contains(0));
}

TEST_F(PoolInitializer, WhatTheInitializerChangesIsHowItsCallsFindTheWorker) {
  const auto change_all = [](std::string directory) {
    std::filesystem::current_path(directory);
    ::setenv("KILLABLE_TEST_INITIALIZED", "yes", 1);
    ::umask(027);
    ::signal(SIGPIPE, SIG_IGN);
    std::thread(sleep_for_ever).detach();
    if (::fork() == 0) sleep_for_ever();
  };
  const std::string directory = path("directory");
  std::filesystem::create_directory(directory);
  ProcessPool pool({.workers = 1, .initializer = Initializer(change_all, directory)});
  const auto look = [](std::string expected) {
    const bool is_changed = std::filesystem::current_path() == expected &&
                            std::getenv("KILLABLE_TEST_INITIALIZED") != nullptr &&
                            ::signal(SIGPIPE, SIG_IGN) == SIG_IGN;
    return is_changed ? ::getpid() : 0;
  };
  std::set<pid_t> workers;
  for (int i = 0; i < 3; ++i) {
    auto call = pool.submit(look, directory);
    ASSERT_TRUE(ends(call));
    workers.insert(call.getResult());
  }
  EXPECT_EQ(workers.size(), 1u);
  EXPECT_FALSE(workers.contains(0));
  // What a call changes still costs the worker.
  pool.submit([] { ::setenv("KILLABLE_TEST_INITIALIZED", "no", 1); }).getResult();
  EXPECT_FALSE(workers.contains(pool.submit(look, directory).getResult()));
}

TEST_F(PoolInitializer, TheInitializersMemoryDoesNotCountAsACalls) {
  const auto fill = [] {
    static std::vector<char> table;
    table.assign(64'000'000, '\1');
  };
  ProcessPool pool({.workers = 1,
                    .max_worker_memory_bytes = 32'000'000,
                    .initializer = Initializer(fill)});
  auto call = pool.submit(twice, 21);
  ASSERT_TRUE(ends(call));
  EXPECT_EQ(call.getResult(), 42);
}

TEST_F(PoolInitializer, KillAllDuringInitializersIsNoFailureOfTheirs) {
  const auto announce_and_wait_for = [](std::string directory, std::string go) {
    signal_file(directory + "/" + std::to_string(::getpid()));
    await_file(go);
  };
  const std::string directory = path("initializing");
  std::filesystem::create_directory(directory);
  ProcessPool pool(
      {.workers = 3,
       .initializer = Initializer(announce_and_wait_for, directory, path("go"))});
  std::vector<KillableThread<int>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(pool.submit(twice, i));
  const auto initializing = [&] {
    return std::distance(std::filesystem::directory_iterator(directory),
                         std::filesystem::directory_iterator());
  };
  ASSERT_TRUE(eventually([&] { return initializing() == 3; }));
  pool.kill_all();
  for (auto& call : calls) EXPECT_THROW(call.getResult(), Killed);
  ASSERT_TRUE(eventually([&] { return pool.stats().recycled == 3; }));
  signal_file(path("go"));
  EXPECT_EQ(pool.submit(twice, 21).getResult(), 42);
}

TEST_F(PoolInitializer, ASharedArrayOfTheInitializersIsThereForItsCalls) {
  static SharedArray<int> table;
  ProcessPool pool({.workers = 1, .initializer = Initializer([] {
                      table = SharedArray<int>(3);
                      table[1] = 41;
                    })});
  const auto look_up = [] { return std::pair(++table[1], ::getpid()); };
  auto first = pool.submit(look_up);
  ASSERT_TRUE(ends(first));
  EXPECT_EQ(first.getResult().first, 42);
  EXPECT_EQ(pool.submit(look_up).getResult(), std::pair(43, first.getResult().second));
}

TEST_F(PoolInitializer, ItsCallsCanBeKilledThoughTheInitializerIgnoresSigterm) {
  ProcessPool pool(
      {.workers = 1, .initializer = Initializer([] { ::signal(SIGTERM, SIG_IGN); })});
  const auto is_ignored = [] { return ::signal(SIGTERM, SIG_IGN) == SIG_IGN; };
  auto first = pool.submit(is_ignored);
  ASSERT_TRUE(ends(first));
  EXPECT_TRUE(first.getResult());
  auto endless = pool.submit(compute_for_ever);
  endless.kill(std::chrono::milliseconds(1));
  EXPECT_THROW(endless.getResult(), Killed);
  EXPECT_TRUE(pool.submit(is_ignored).getResult());
}

/// Its calls end promptly and as the initializer did, and no more workers are made.
template <class Ended>
void expect_failure(Initializer initializer) {
  ProcessPool pool({.workers = 2, .initializer = std::move(initializer)});
  std::vector<KillableThread<int>> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(pool.submit(twice, i));
  for (auto& call : calls) EXPECT_THROW(call.getResult(), Ended);
  auto late = pool.submit(twice, 1);
  EXPECT_THROW(late.getResult(), Ended);
  EXPECT_LE(pool.stats().recycled, 4u);
}

TEST_F(PoolInitializer, AnInitializerThatThrowsFailsTheCalls) {
  expect_failure<std::domain_error>(
      Initializer([] { throw std::domain_error("no table"); }));
}

TEST_F(PoolInitializer, AnInitializerThatCrashesFailsTheCalls) {
  expect_failure<WorkerCrashed>(Initializer([] { ::raise(SIGSEGV); }));
}

TEST_F(PoolInitializer, AnInitializerThatExitsFailsTheCalls) {
  expect_failure<WorkerExited>(Initializer([] { ::_exit(3); }));
}

TEST_F(PoolInitializer, APoolWhoseInitializerHangsCanBeShutDown) {
  ProcessPool pool({.workers = 1, .initializer = Initializer(compute_for_ever)});
  auto call = pool.submit(twice, 1);
  call.kill();
  pool.shutdown();
  EXPECT_EQ(call.state(), State::killed);
}

}  // namespace
}  // namespace killable::test
