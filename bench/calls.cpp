// Calls, each in a fresh worker.

#include <killable/killable.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "placement.hpp"
#include "samples.hpp"

namespace killable::bench {

namespace {

using namespace std::chrono_literals;

int answer(int question) { return question + 1; }

/// From the construction of the handle to the result.
Seconds timed_call(StartMethod start_method) {
  const Clock::time_point before = Clock::now();
  KillableThread thread({.start_method = start_method}, answer, 1);
  thread.start();
  benchmark::DoNotOptimize(thread.getResult());
  return Clock::now() - before;
}

std::vector<double> with_spare(Placement placement, int calls) {
  start_session(placement);
  timed_call(StartMethod::fork_server);  // The first one has all the page faults.
  Stopwatch stopwatch;
  for (int i = 0; i < calls; ++i) {
    warm_up();  // A fork may take longer than the pause.
    std::this_thread::sleep_for(kPause);
    stopwatch.add(timed_call(StartMethod::fork_server));
  }
  return std::move(stopwatch).seconds();
}

template <StartMethod start_method>
std::vector<double> without_spare(Placement placement, int calls) {
  start_session(placement, {.spare_workers = 0});
  Stopwatch stopwatch;
  for (int i = 0; i < calls; ++i) {
    std::this_thread::sleep_for(kPause);
    stopwatch.add(timed_call(start_method));
  }
  return std::move(stopwatch).seconds();
}

/// Time for each of a row of calls of which eight are in flight at once.
std::vector<double> saturated(Placement placement, int rows) {
  constexpr std::size_t kCalls = 200;
  constexpr std::size_t kInFlight = 8;
  start_session(placement);
  Stopwatch stopwatch;
  for (int row = 0; row < rows; ++row) {
    stopwatch.start();
    std::vector<KillableThread<int>> running;
    for (std::size_t started = 0; started < kCalls || !running.empty();) {
      for (; started < kCalls && running.size() < kInFlight; ++started) {
        running.emplace_back(answer, 1);
        running.back().start();
      }
      const auto ended =
          running.begin() + static_cast<std::ptrdiff_t>(*wait_any(running));
      benchmark::DoNotOptimize(ended->getResult());
      running.erase(ended);
    }
    stopwatch.stop(kCalls);
  }
  return std::move(stopwatch).seconds();
}

/// Tells the host through shared memory that it computes by now.
void compute_for_ever(SharedArray<std::uint32_t> computes, std::size_t bytes) {
  std::vector<char> memory(bytes, 'x');
  benchmark::DoNotOptimize(memory.data());
  std::atomic_ref(computes[0]).store(1);
  for (;;) benchmark::ClobberMemory();
}

/// From kill(0ms) to the exception that getResult() throws, for a worker that has touched
/// so many bytes.
template <std::size_t bytes>
std::vector<double> kills(Placement placement, int count) {
  start_session(placement);
  Stopwatch stopwatch;
  for (int i = 0; i < count; ++i) {
    const SharedArray<std::uint32_t> computes(1);
    KillableThread thread(compute_for_ever, computes, bytes);
    thread.start();
    while (std::atomic_ref(computes[0]).load() == 0) std::this_thread::sleep_for(kPause);
    std::this_thread::sleep_for(kPause);
    stopwatch.start();
    thread.kill(0ms);
    try {
      thread.getResult();
    } catch (const Killed&) {
      stopwatch.stop();
    }
  }
  return std::move(stopwatch).seconds();
}

}  // namespace

void register_calls() {
  add("call, spare ready", 200, with_spare, kPlacements);
  add("call, no spare", 200, without_spare<StartMethod::fork_server>, kPlacements);
  add("call, spawn", 20, without_spare<StartMethod::spawn>);
  add("calls, 8 in flight", 2, saturated, kPlacements);
  add("kill(0ms) to Killed", 100, kills<0>, kPlacements);
  add("kill(0ms) to Killed, 1 GB", 3, kills<std::size_t{1} << 30>, kPlacements);
}

}  // namespace killable::bench
