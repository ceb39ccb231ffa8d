#include <killable/killable.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/sanitizers.hpp"

/// Calls whose arguments or results take long to copy.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

using Bytes = std::vector<char>;

constexpr std::size_t kLarge = std::size_t{kSanitizer ? 64 : 256} << 20;
constexpr std::size_t kSmaller = kLarge / 16;

/// Of a thread that races another: once is enough.
constexpr int kRounds = 20;

class PoolLarge : public NothingIsLeft {
 protected:
  ProcessPool& pool() { return *pool_; }

  void SetUp() override {
    NothingIsLeft::SetUp();
    pool_.emplace(PoolOptions{.workers = 2, .call = {.grace_period = 0ms}});
    pool_->submit(std::negate<int>(), 1).getResult();
  }

  void TearDown() override {
    pool_.reset();
    NothingIsLeft::TearDown();
  }

  /// Whether a hundred small calls are over before `is_over`.
  bool small_calls_are_over_before(const std::atomic<bool>& is_over) {
    for (int i = 0; i < 100; ++i)
      EXPECT_EQ(pool().submit(std::negate<int>(), i).getResult(), -i);
    return !is_over;
  }

 private:
  std::optional<ProcessPool> pool_;
};

/// A result that signals, in its worker, that it was committed: then it is destroyed.
struct LargeResult {
  Bytes bytes;
  std::string file;

  ~LargeResult() {
    if (this_worker::inside()) signal_file(file);
  }
};

LargeResult make(std::size_t size, const std::string& file) {
  return {Bytes(size, 'x'), file};
}

std::size_t size_of(const Bytes& bytes) { return bytes.size(); }

TEST_F(PoolLarge, AResultThatIsCopiedKeepsNoOtherCallWaiting) {
  bool kept_nobody = false;
  for (int round = 0; round < kRounds && !kept_nobody; ++round) {
    const std::string committed = path("committed" + std::to_string(round));
    auto large = pool().submit(make, kLarge, committed);
    std::atomic<bool> is_over{false};
    std::thread waiter([&] {
      large.join();
      is_over = true;
    });
    await_file(committed);
    kept_nobody = small_calls_are_over_before(is_over);
    waiter.join();
    EXPECT_EQ(large.getResult().bytes.size(), kLarge);
  }
  EXPECT_TRUE(kept_nobody);
}

TEST_F(PoolLarge, AKillWhileTheResultIsCopiedDeliversItAndCostsNoWorker) {
  auto large = pool().submit(make, kLarge, path("committed"));
  std::thread waiter([&] { EXPECT_EQ(large.getResult().bytes.size(), kLarge); });
  await_file(path("committed"));
  large.kill();
  EXPECT_EQ(large.getResult().bytes.size(), kLarge);
  waiter.join();
  EXPECT_EQ(pool().submit(std::negate<int>(), 1).getResult(), -1);
  EXPECT_EQ(pool().stats().recycled, 0u);
}

/// Submits large arguments from another thread, and does something meanwhile.
class LargeArguments {
 public:
  /// Requires: one worker is idle.
  explicit LargeArguments(ProcessPool& pool)
      : thread_([this, &pool] {
          call_ = pool.submit(size_of, bytes_);
          is_submitted_ = true;
        }) {
    // From here on they are copied to the worker.
    EXPECT_TRUE(eventually([&] { return pool.stats().running == 1; }));
  }
  ~LargeArguments() { thread_.join(); }

  const std::atomic<bool>& is_submitted() const { return is_submitted_; }

  /// Waits for the thread, and takes the call from it.
  KillableThread<std::size_t> call() && {
    EXPECT_TRUE(eventually([&] { return is_submitted_.load(); }));
    return std::move(*call_);
  }

  static constexpr std::size_t kLargeArguments = std::size_t{100} << 20;

 private:
  const Bytes bytes_ = Bytes(kLargeArguments, 'x');
  std::optional<KillableThread<std::size_t>> call_;
  std::atomic<bool> is_submitted_{false};
  std::thread thread_;
};

TEST_F(PoolLarge, ArgumentsThatAreCopiedKeepNoOtherCallWaiting) {
  bool kept_nobody = false;
  for (int round = 0; round < kRounds && !kept_nobody; ++round) {
    LargeArguments large(pool());
    kept_nobody = small_calls_are_over_before(large.is_submitted());
    EXPECT_EQ(std::move(large).call().getResult(), LargeArguments::kLargeArguments);
  }
  EXPECT_TRUE(kept_nobody);
}

TEST_F(PoolLarge, AKillWhileArgumentsAreCopiedEndsTheCall) {
  bool was_early = false;
  for (int round = 0; round < kRounds && !was_early; ++round) {
    LargeArguments large(pool());
    pool().kill_all();
    was_early = !large.is_submitted();
    auto call = std::move(large).call();
    if (was_early) {
      EXPECT_THROW(call.getResult(), Killed);
    }
    EXPECT_EQ(pool().submit(std::negate<int>(), 1).getResult(), -1);
  }
  EXPECT_TRUE(was_early);
}

TEST_F(PoolLarge, KillsAtRandomMomentsLeaveAWholeResultOrNone) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> microseconds(0, 30'000);
  const auto back = [](Bytes bytes) { return bytes; };
  const Bytes bytes(kSmaller, 'y');
  for (int round = 0; round < repetitions(100); ++round) {
    auto victim = pool().submit(back, bytes);
    std::thread killer([&, pause = std::chrono::microseconds(microseconds(random))] {
      std::this_thread::sleep_for(pause);
      victim.kill();
    });
    try {
      EXPECT_EQ(victim.getResult(), bytes);
    } catch (const Killed&) {
    }
    killer.join();
    EXPECT_EQ(pool().submit(std::negate<int>(), round).getResult(), -round);
  }
}

TEST_F(PoolLarge, ManyThreadsMayTakeTheSameResult) {
  auto call = pool().submit([](std::size_t size) { return Bytes(size, 'z'); }, kSmaller);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] { EXPECT_EQ(call.getResult(), Bytes(kSmaller, 'z')); });
  for (std::thread& thread : threads) thread.join();
}

TEST_F(PoolLarge, QueuedArgumentsAreCopiedInTheirTurn) {
  const Bytes bytes(kSmaller, 'q');
  std::vector<KillableThread<std::size_t>> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(pool().submit(size_of, bytes));
  for (auto& call : calls) EXPECT_EQ(call.getResult(), kSmaller);
}

}  // namespace
}  // namespace killable::test
