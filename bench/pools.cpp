// Calls of a pool, in workers that are used again.

#include <killable/killable.hpp>

#include <signal.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "processors.hpp"
#include "samples.hpp"

namespace killable::bench {

namespace {

using Numbers = std::vector<double>;

int answer(int question) { return question + 1; }

Numbers back(Numbers numbers) { return numbers; }

double first(std::span<const double> numbers) { return numbers.front(); }

/// From submit() to the result of a worker that waits for it.
void warm_call(benchmark::State& state, const std::string& name, bool apart) {
  ProcessPool pool({.workers = 1});
  const std::array<int, 2> processors = two_processors(apart);
  pool.submit(pin_to, processors[1]).join();
  const Pinned pinned(processors[0]);
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    stopwatch.start();
    benchmark::DoNotOptimize(pool.submit(answer, 1).getResult());
    stopwatch.stop();
  }
}

/// Time for each of a row that two workers share.
void row(benchmark::State& state, const std::string& name) {
  constexpr int kCalls = 1000;
  ProcessPool pool({.workers = 2});
  const std::vector<int> questions(kCalls, 1);
  pool.map(answer, questions);
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    stopwatch.start();
    benchmark::DoNotOptimize(pool.map(answer, questions));
    stopwatch.stop(kCalls);
  }
}

/// From the submission of a call that crashes to the result of the next.
void crash(benchmark::State& state, const std::string& name) {
  ProcessPool pool({.workers = 1});
  pool.submit(answer, 1).join();
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    stopwatch.start();
    auto crashing = pool.submit([] { ::raise(SIGKILL); });
    benchmark::DoNotOptimize(pool.submit(answer, 1).getResult());
    stopwatch.stop();
  }
}

void large(benchmark::State& state, const std::string& name) {
  ProcessPool pool({.workers = 1});
  const Numbers numbers(std::size_t{8} << 20, 0.5);
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    stopwatch.start();
    benchmark::DoNotOptimize(pool.submit(back, numbers).getResult());
    stopwatch.stop();
  }
}

void view(benchmark::State& state, const std::string& name) {
  ProcessPool pool({.workers = 1});
  const Numbers numbers(std::size_t{8} << 20, 0.5);
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    stopwatch.start();
    benchmark::DoNotOptimize(pool.submit(first, numbers).getResult());
    stopwatch.stop();
  }
}

/// Into memory that is there.
void two_copies(benchmark::State& state, const std::string& name) {
  const Numbers numbers(std::size_t{8} << 20, 0.5);
  Numbers there(numbers);
  Numbers back_again(numbers);
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    stopwatch.start();
    std::ranges::copy(numbers, there.begin());
    std::ranges::copy(there, back_again.begin());
    benchmark::DoNotOptimize(back_again.data());
    benchmark::ClobberMemory();
    stopwatch.stop();
  }
}

}  // namespace

void register_pools() {
  add("pool call, same processor", 1000, warm_call, false);
  add("pool call, apart", 1000, warm_call, true);
  add("pool, row of 1000, each", 3, row);
  add("pool, crash to next result", 30, crash);
  add("pool, 64 MB there and back", 5, large);
  add("pool, 64 MB as a view", 5, view);
  add("64 MB copied twice", 5, two_copies);
}

}  // namespace killable::bench
