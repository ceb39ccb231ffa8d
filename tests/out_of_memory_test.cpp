#include <killable/killable.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

/// Lets each allocation of a step fail, one after the other: the error is of the
/// documented type, nothing is left, and the next call works.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

/// How many more allocations of this thread succeed before one that fails; negative: all.
thread_local int allocations_left = -1;

/// The nth allocation of this thread fails if it comes while this lives.
class ShortOfMemory {
 public:
  explicit ShortOfMemory(int after) { allocations_left = after; }
  ~ShortOfMemory() { allocations_left = -1; }
  ShortOfMemory(const ShortOfMemory&) = delete;
  ShortOfMemory& operator=(const ShortOfMemory&) = delete;
};

}  // namespace
}  // namespace killable::test

// Not inlined, so that the compiler does not see malloc(3) through one and delete through
// the other.
[[gnu::noinline]] void* operator new(std::size_t size) {
  using killable::test::allocations_left;
  if (allocations_left >= 0 && allocations_left-- == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace killable::test {
namespace {

class OutOfMemory : public NothingIsLeft {};

int twice(int n) { return 2 * n; }

/// Calls step(n) with n allocations that succeed, n = 0, 1, 2..., until it returns true.
template <class Step>
void fail_each_allocation(Step step) {
  constexpr int kMost = 1000;
  int n = 0;
  while (n < kMost && !step(n)) ++n;
  EXPECT_LT(n, kMost);
  EXPECT_GT(n, 0) << "it allocates nothing";
}

TEST_F(OutOfMemory, AStartThatASpareServesNeedsNone) {
  KillableThread thread(twice, 21);
  {
    const ShortOfMemory memory(0);
    thread.start();
  }
  EXPECT_EQ(thread.getResult(), 42);
}

TEST_F(OutOfMemory, AtAnyAllocationOfAStartIsAStartErrorAndTheCallMayBeStartedAgain) {
  fail_each_allocation([](int n) {
    // Another bound than that of the spares: this start needs a worker of its own.
    KillableThread thread({.max_result_bytes = 1000}, twice, 21);
    bool has_started = false;
    try {
      const ShortOfMemory memory(n);
      thread.start();
      has_started = true;
    } catch (const StartError& error) {
      EXPECT_EQ(error.code(), std::errc::not_enough_memory) << error.what();
    }
    if (!has_started) {
      EXPECT_EQ(thread.state(), State::not_started);
      thread.start();
    }
    EXPECT_EQ(thread.getResult(), 42) << n;
    return has_started;
  });
}

TEST_F(OutOfMemory, AtAnyAllocationOfAKillEndsTheCallAllTheSame) {
  for (int n = 0; n < 5; ++n) {
    KillableThread thread(compute_for_ever);
    thread.start();
    {
      const ShortOfMemory memory(n);
      thread.kill(0ms);
    }
    EXPECT_TRUE(ends_killed(thread));
  }
}

TEST_F(OutOfMemory, AtAnyAllocationOfAWaitIsBadAllocAndTheResultMayBeHadLater) {
  fail_each_allocation([&](int n) {
    KillableThread thread(
        [] { return std::vector<std::string>(3, std::string(100, 'x')); });
    thread.start();
    bool has_result = false;
    try {
      const ShortOfMemory memory(n);
      thread.getResult();
      has_result = true;
    } catch (const std::bad_alloc&) {
    }
    EXPECT_EQ(thread.getResult().size(), 3u);
    return has_result;
  });
}

TEST_F(OutOfMemory, AtAnyAllocationOfASubmissionLeavesNoCallInThePool) {
  ProcessPool pool({.workers = 1});
  EXPECT_EQ(pool.submit(twice, 1).getResult(), 2);
  fail_each_allocation([&](int n) {
    bool is_submitted = false;
    try {
      const ShortOfMemory memory(n);
      auto call = pool.submit(twice, 21);
      is_submitted = true;
      allocations_left = -1;
      EXPECT_EQ(call.getResult(), 42);
    } catch (const std::bad_alloc&) {
    }
    EXPECT_EQ(pool.stats().queued + pool.stats().running, 0u);
    EXPECT_EQ(pool.submit(twice, n).getResult(), 2 * n);
    return is_submitted;
  });
}

}  // namespace
}  // namespace killable::test
