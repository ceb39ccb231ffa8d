#include <killable/killable.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/sanitizers.hpp"
#include "support/slot_access.hpp"
#include "wire/inbox_format.hpp"

/// Tiny calls that are many go to a worker several at a time. Nobody sees that but by the
/// time it takes: whatever happens to one call happens to it alone.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

constexpr int kMany = 1000;

template <class R>
using Calls = std::vector<KillableThread<R>>;

int twice(int n) { return 2 * n; }

const wire::InboxHeader& inbox_header() {
  return *reinterpret_cast<const wire::InboxHeader*>(find_mapping("r--s").begin);
}

/// How many calls this worker has beyond the one that it runs.
int waiting_calls() {
  return static_cast<int>(inbox_header().posted.load() - current_call());
}

/// Leaves a line in `file`, and returns the line.
int note(const std::string& file, int line) {
  const std::string text = std::to_string(line) + "\n";
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (::write(fd, text.data(), text.size()) == -1) std::abort();
  ::close(fd);
  return line;
}

class PoolRows : public NothingIsLeft {
 protected:
  /// As many calls of `f(i)` as that, from 0 on.
  template <class F>
  auto submit_many(ProcessPool& pool, int count, F f) {
    Calls<std::invoke_result_t<F, int>> calls;
    for (int i = 0; i != count; ++i) calls.push_back(pool.submit(f, i));
    return calls;
  }

  /// kMany calls of an F, of i, that leave a note before.
  template <class F>
  auto submit_noted(ProcessPool& pool, F) {
    Calls<std::invoke_result_t<F, int>> calls;
    for (int i = 0; i != kMany; ++i)
      calls.push_back(pool.submit(
          [](const std::string& file, int line) { return F()(note(file, line)); },
          path("notes"), i));
    return calls;
  }

  void expect_each_once() const {
    for (const auto& [line, count] : notes()) EXPECT_EQ(count, 1) << line;
    EXPECT_EQ(notes().size(), std::size_t(kMany));
  }

  /// How often each line was noted.
  std::map<int, int> notes() const {
    std::map<int, int> lines;
    std::ifstream file(path("notes"));
    for (int line = 0; file >> line;) ++lines[line];
    return lines;
  }
};

TEST_F(PoolRows, AWorkerHasSeveralTinyCallsAtATime) {
  if (!kCallsMayBeTiny) GTEST_SKIP() << "under a sanitizer no call is";
  ProcessPool pool({.workers = 2});
  auto calls = submit_many(pool, kMany, [](int) { return waiting_calls(); });
  std::vector<int> waiting;
  for (auto& call : calls) waiting.push_back(call.getResult());
  EXPECT_EQ(std::ranges::max(waiting), int(wire::kRing) - 1);
}

TEST_F(PoolRows, CallsThatTakeLongerGoOneByOne) {
  ProcessPool pool({.workers = 1});
  auto calls = submit_many(pool, 100, [](int) {
    std::this_thread::sleep_for(2ms);
    return waiting_calls();
  });
  // The first are given before it is known how long they take.
  std::vector<int> waiting;
  for (auto& call : calls) waiting.push_back(call.getResult());
  EXPECT_GT(std::ranges::count(waiting, 0), 50);
  EXPECT_EQ(waiting.back(), 0);
}

TEST_F(PoolRows, ResultsOfAllSizesCome) {
  const auto text_of = [](int i) { return std::string(std::size_t(i * 37 % 2000), 'x'); };
  ProcessPool pool({.workers = 2});
  auto calls = submit_many(pool, kMany, text_of);
  for (int i = 0; i != kMany; ++i)
    EXPECT_EQ(calls[std::size_t(i)].getResult(), text_of(i));
}

TEST_F(PoolRows, ArgumentsOfAllSizesCome) {
  ProcessPool pool({.workers = 2});
  Calls<std::size_t> calls;
  const auto size_of = [](int i) { return std::size_t(i * 371 % 20'000); };
  for (int i = 0; i != kMany; ++i)
    calls.push_back(pool.submit([](const std::string& text) { return text.size(); },
                                std::string(size_of(i), 'x')));
  for (int i = 0; i != kMany; ++i)
    EXPECT_EQ(calls[std::size_t(i)].getResult(), size_of(i));
}

struct alignas(64) Block {
  std::array<double, 8> values;
};

TEST_F(PoolRows, ArgumentsAreAlignedInEachOfThem) {
  ProcessPool pool({.workers = 2});
  Calls<bool> calls;
  const std::vector<Block> blocks(1);
  for (int i = 0; i != kMany; ++i)
    calls.push_back(pool.submit(
        [](std::span<const Block> view, char) {
          return reinterpret_cast<std::uintptr_t>(view.data()) % alignof(Block) == 0;
        },
        blocks, 'x'));
  for (auto& call : calls) EXPECT_TRUE(call.getResult());
}

TEST_F(PoolRows, ArgumentsTakeNoMoreMemoryTheMoreCallsThereAre) {
  ProcessPool pool({.workers = 1});
  auto calls = submit_many(pool, 5 * kMany, [](int) {
    return inbox_header().entries[current_call() % wire::kRing].arguments_begin;
  });
  for (auto& call : calls) EXPECT_LE(call.getResult(), std::uint64_t{64} << 10);
}

TEST_F(PoolRows, AnExceptionIsThatOfItsCallAlone) {
  ProcessPool pool({.workers = 2});
  auto calls = submit_many(pool, kMany, [](int i) {
    if (i % 10 == 0) throw std::out_of_range(std::to_string(i));
    return i;
  });
  for (int i = 0; i != kMany; ++i) {
    auto& call = calls[std::size_t(i)];
    if (i % 10 == 0)
      EXPECT_THROW(call.getResult(), std::out_of_range);
    else
      EXPECT_EQ(call.getResult(), i);
  }
}

TEST_F(PoolRows, ACallThatHangsKeepsNoOtherWaiting) {
  ProcessPool pool({.workers = 2});
  auto calls = submit_many(pool, kMany, [](int i) {
    if (i == kMany / 2) compute_for_ever();
    return i;
  });
  for (int i = 0; i != kMany; ++i)
    if (i != kMany / 2) {
      EXPECT_EQ(calls[std::size_t(i)].getResult(), i);
    }
  auto& hung = calls[kMany / 2];
  EXPECT_EQ(hung.state(), State::running);
  hung.kill(0ms);
  EXPECT_TRUE(ends_killed(hung));
  EXPECT_EQ(pool.stats().recycled, 1u);
}

TEST_F(PoolRows, ACallThatNobodyWaitsForKeepsNoOtherWaitingEither) {
  ProcessPool pool({.workers = 2});
  auto calls = submit_many(pool, kMany, [](int i) {
    if (i == 100) compute_for_ever();
    return i;
  });
  // Looks, but does not wait: the pool's own thread has to see to it.
  for (int i = 0; i != kMany; ++i) {
    if (i == 100) continue;
    EXPECT_TRUE(
        eventually([&] { return calls[std::size_t(i)].state() == State::returned; }));
  }
  calls[100].kill(0ms);
}

TEST_F(PoolRows, AWorkerThatClaimsToHaveStartedAllKeepsNoOtherWaiting) {
  ProcessPool pool({.workers = 2});
  auto calls = submit_many(pool, kMany, [](int i) {
    if (i != 500) return i;
    slot_header().started.store(~wire::CallNumber{0});
    compute_for_ever();
  });
  for (int i = 501; i != kMany; ++i) EXPECT_EQ(calls[std::size_t(i)].getResult(), i);
  calls[500].kill(0ms);
  EXPECT_ANY_THROW(calls[500].getResult());
}

TEST_F(PoolRows, ACrashCostsItsCallAlone) {
  ProcessPool pool({.workers = 2});
  auto calls = submit_noted(pool, [](int i) {
    if (i % 100 == 50) ::raise(SIGKILL);
    return i;
  });
  for (int i = 0; i != kMany; ++i) {
    auto& call = calls[std::size_t(i)];
    if (i % 100 == 50)
      EXPECT_THROW(call.getResult(), WorkerCrashed);
    else
      EXPECT_EQ(call.getResult(), i);
  }
  expect_each_once();
}

TEST_F(PoolRows, WhatACallLeavesBehindIsNotFoundByThoseThatWaitBehindIt) {
  ProcessPool pool({.workers = 2});
  auto calls = submit_noted(pool, [](int i) {
    const bool is_clean = std::filesystem::current_path() != "/";
    if (i % 50 == 25 && ::chdir("/") == -1) std::abort();
    return is_clean;
  });
  for (auto& call : calls) EXPECT_TRUE(call.getResult());
  expect_each_once();
}

TEST_F(PoolRows, AWorkerHasNoMoreCallsThanItMayHave) {
  ProcessPool pool({.workers = 2, .max_calls_per_worker = 7});
  auto calls = submit_many(pool, 200, [](int) { return ::getpid(); });
  std::map<pid_t, int> counts;
  for (auto& call : calls) ++counts[call.getResult()];
  for (const auto& [pid, count] : counts) EXPECT_LE(count, 7) << pid;
}

TEST_F(PoolRows, AStopReachesItsCallAlone) {
  ProcessPool pool({.workers = 1});
  Calls<bool> calls;
  for (int i = 0; i != 200; ++i)
    calls.push_back(pool.submit(
        [](std::stop_token token, int n) {
          while (n == 100 && !token.stop_requested()) std::this_thread::sleep_for(1ms);
          return token.stop_requested();
        },
        i));
  EXPECT_TRUE(calls[100].request_stop());
  for (int i = 0; i != 200; ++i) EXPECT_EQ(calls[std::size_t(i)].getResult(), i == 100);
}

/// A kill may come at any moment of a row: before it, in it, or behind it.
TEST_F(PoolRows, AKillHitsOneCallOfAThousandAndNoCallRunsTwice) {
  ProcessPool pool({.workers = 2});
  const std::string file = path("notes");
  std::mt19937 random(1);
  for (int round = 0; round != repetitions(20); ++round) {
    Calls<int> calls;
    for (int i = 0; i != kMany; ++i)
      calls.push_back(pool.submit({.grace_period = 0ms}, note, file, round * kMany + i));
    const auto victim =
        std::uniform_int_distribution<std::size_t>(0, calls.size() - 1)(random);
    if (round % 2 == 0 && victim > 10) calls[victim - 10].join();
    calls[victim].kill();
    for (std::size_t i = 0; i != calls.size(); ++i)
      if (i != victim) {
        ASSERT_EQ(calls[i].getResult(), round * kMany + int(i));
      }
    try {
      EXPECT_EQ(calls[victim].getResult(), round * kMany + int(victim));
    } catch (const Killed&) {
    }
  }
  for (const auto& [line, count] : notes()) EXPECT_EQ(count, 1) << line;
}

TEST_F(PoolRows, KillAllEndsAllOfThem) {
  ProcessPool pool({.workers = 2});
  auto calls = submit_many(pool, kMany, [](int i) {
    if (i > 500) compute_for_ever();
    return i;
  });
  calls[490].join();
  pool.kill_all();
  int killed = 0;
  for (auto& call : calls) {
    ASSERT_TRUE(ends(call));
    killed += call.state() == State::killed;
  }
  EXPECT_GE(killed, kMany - 502);
  EXPECT_EQ(pool.submit(twice, 2).getResult(), 4);
}

TEST_F(PoolRows, HandlesThatAreDroppedTakeTheirCallsAlong) {
  ProcessPool pool({.workers = 2});
  const std::string file = path("notes");
  Calls<int> kept;
  for (int i = 0; i != kMany; ++i) {
    auto call = pool.submit({.grace_period = 0ms}, note, file, i);
    if (i % 2 == 0) kept.push_back(std::move(call));
  }
  for (std::size_t i = 0; i != kept.size(); ++i)
    EXPECT_EQ(kept[i].getResult(), 2 * int(i));
  for (const auto& [line, count] : notes()) EXPECT_EQ(count, 1) << line;
}

}  // namespace
}  // namespace killable::test
