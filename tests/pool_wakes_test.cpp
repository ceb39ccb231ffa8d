#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <random>

#include "support/ends.hpp"
#include "support/fixture.hpp"

/// How a pool and its workers wait for each other. While calls are tiny and follow each
/// other, both spin a moment before they sleep.
namespace killable::test {
namespace {

class PoolWakes : public NothingIsLeft {};

int twice(int n) { return 2 * n; }

TEST_F(PoolWakes, NoneIsLostWhereverTheNextCallComes) {
  ProcessPool pool({.workers = 1});
  std::mt19937 random(1);
  std::uniform_int_distribution<int> microseconds(0, 60);
  for (int i = 0; i < 3000; ++i) {
    const auto until = std::chrono::steady_clock::now() +
                       std::chrono::microseconds(microseconds(random));
    while (std::chrono::steady_clock::now() < until) {
    }
    auto call = pool.submit(twice, i);
    ASSERT_TRUE(ends(call));
    ASSERT_EQ(call.getResult(), 2 * i);
  }
}

/// The worker rings after that, for nobody.
TEST_F(PoolWakes, ResultsThatAreSeenBeforeTheRingCostNoWorker) {
  constexpr int kMoreThanFalseRings = 1100;
  ProcessPool pool({.workers = 1});
  const pid_t worker = pool.submit(::getpid).getResult();
  for (int i = 0; i < kMoreThanFalseRings; ++i) {
    auto seen = pool.submit(::getpid);
    while (seen.state() == State::running) {
    }
    ASSERT_EQ(seen.getResult(), worker);
    // Takes longer than anybody spins.
    ASSERT_EQ(pool.submit([] { return ::usleep(200), ::getpid(); }).getResult(), worker);
  }
}

}  // namespace
}  // namespace killable::test
