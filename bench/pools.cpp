// Calls of a pool, in workers that are used again.

#include <killable/killable.hpp>

#include <signal.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "placement.hpp"
#include "samples.hpp"

namespace killable::bench {

namespace {

using Numbers = std::vector<double>;

constexpr std::size_t kSmall = (std::size_t{64} << 10) / sizeof(double);
constexpr std::size_t kLarge = (std::size_t{64} << 20) / sizeof(double);

constexpr int kRow = 1000;

int answer(int question) { return question + 1; }

Numbers back(Numbers numbers) { return numbers; }

double first(std::span<const double> numbers) { return numbers.front(); }

Numbers make(std::size_t count) { return Numbers(count, 0.5); }

double first_shared(SharedArray<double> numbers) { return numbers.front(); }

/// From submit() to the result of a worker that waits for it.
template <class... Arguments>
std::vector<double> warm_calls(Placement placement, int calls, auto function,
                               const Arguments&... arguments) {
  start_session(placement);
  ProcessPool pool({.workers = 1});
  pool.submit(answer, 1).join();
  Stopwatch stopwatch;
  for (int i = 0; i < calls; ++i) {
    stopwatch.start();
    benchmark::DoNotOptimize(pool.submit(function, arguments...).getResult());
    stopwatch.stop();
  }
  return std::move(stopwatch).seconds();
}

std::vector<double> small(Placement placement, int calls) {
  return warm_calls(placement, calls, answer, 1);
}

std::vector<double> there_and_back(Placement placement, int calls) {
  return warm_calls(placement, calls, back, make(kLarge));
}

std::vector<double> large_result(Placement placement, int calls) {
  return warm_calls(placement, calls, make, kLarge);
}

template <std::size_t count>
std::vector<double> view(Placement placement, int calls) {
  return warm_calls(placement, calls, first, make(count));
}

template <std::size_t count>
std::vector<double> shared(Placement placement, int calls) {
  const SharedArray<double> numbers(count);
  std::ranges::fill(numbers, 0.5);
  return warm_calls(placement, calls, first_shared, numbers);
}

/// Time for each of a row that two workers share.
std::vector<double> row(Placement placement, int rows) {
  start_session(placement);
  ProcessPool pool({.workers = 2});
  const std::vector<int> questions(kRow, 1);
  pool.map(answer, questions);
  Stopwatch stopwatch;
  for (int i = 0; i < rows; ++i) {
    stopwatch.start();
    benchmark::DoNotOptimize(pool.map(answer, questions));
    stopwatch.stop(kRow);
  }
  return std::move(stopwatch).seconds();
}

/// From the submission of a call that crashes to the result of the next, which finds a
/// spare.
std::vector<double> crashes(Placement placement, int count) {
  start_session(placement);
  ProcessPool pool({.workers = 1});
  pool.submit(answer, 1).join();
  Stopwatch stopwatch;
  for (int i = 0; i < count; ++i) {
    warm_up();
    std::this_thread::sleep_for(kPause);
    stopwatch.start();
    auto crashing = pool.submit([] { ::raise(SIGKILL); });
    benchmark::DoNotOptimize(pool.submit(answer, 1).getResult());
    stopwatch.stop();
  }
  return std::move(stopwatch).seconds();
}

/// Into memory that is there.
std::vector<double> two_copies(Placement placement, int count) {
  become_host(placement);
  const Numbers numbers(kLarge, 0.5);
  Numbers there(numbers);
  Numbers back_again(numbers);
  Stopwatch stopwatch;
  for (int i = 0; i < count; ++i) {
    stopwatch.start();
    std::ranges::copy(numbers, there.begin());
    std::ranges::copy(there, back_again.begin());
    benchmark::DoNotOptimize(back_again.data());
    benchmark::ClobberMemory();
    stopwatch.stop();
  }
  return std::move(stopwatch).seconds();
}

}  // namespace

void register_pools() {
  add("pool call", 1000, small, kPlacements);
  add("pool, row of 1000, each", 3, row, kPlacements);
  add("pool, crash to next result", 30, crashes, kPlacements);
  add("pool, 64 MB there and back", 5, there_and_back, kPlacements);
  add("pool, 64 MB result", 5, large_result);
  add("pool, 64 MB as a view", 5, view<kLarge>, kPlacements);
  add("pool, 64 KB as a view", 100, view<kSmall>, kPlacements);
  add("pool, 64 MB as a SharedArray", 100, shared<kLarge>, kPlacements);
  add("pool, 64 KB as a SharedArray", 100, shared<kSmall>, kPlacements);
  add("64 MB copied twice", 5, two_copies, kPlacements);
}

}  // namespace killable::bench
