// Calls, each in a fresh worker.

#include <killable/killable.hpp>

#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include "samples.hpp"

namespace killable::bench {

namespace {

using namespace std::chrono_literals;

int answer(int question) { return question + 1; }

void compute_for_ever() {
  for (;;) benchmark::ClobberMemory();
}

/// From the construction of the handle to the result.
Seconds timed_call(StartMethod start_method) {
  const Clock::time_point before = Clock::now();
  KillableThread thread({.start_method = start_method}, answer, 1);
  thread.start();
  benchmark::DoNotOptimize(thread.getResult());
  return Clock::now() - before;
}

void with_spare(benchmark::State& state, const std::string& name) {
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    warm_up();  // A fork may take longer than the pause.
    std::this_thread::sleep_for(kPause);
    stopwatch.add(timed_call(StartMethod::fork_server));
  }
}

/// With a configuration of its own, hence in a worker, which starts its own fork server.
std::vector<double> without_spare(int calls) {
  configure({.spare_workers = 0});
  warm_up();
  std::vector<double> seconds;
  for (int i = 0; i < calls; ++i) {
    std::this_thread::sleep_for(kPause);
    seconds.push_back(timed_call(StartMethod::fork_server).count());
  }
  return seconds;
}

void fresh_without_spare(benchmark::State& state, const std::string& name) {
  Stopwatch stopwatch(state, name);
  for (auto _ : state)
    for (const double seconds : call(without_spare, 200)) stopwatch.add(Seconds(seconds));
}

void spawned(benchmark::State& state, const std::string& name) {
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    std::this_thread::sleep_for(kPause);
    stopwatch.add(timed_call(StartMethod::spawn));
  }
}

/// Time for each of a row of calls of which eight are in flight at once.
void saturated(benchmark::State& state, const std::string& name) {
  constexpr std::size_t kCalls = 200;
  constexpr std::size_t kInFlight = 8;
  warm_up();
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
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
}

/// From kill(0ms) to the exception that getResult() throws.
void kill_busy_worker(benchmark::State& state, const std::string& name) {
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    KillableThread thread(compute_for_ever);
    thread.start();
    std::this_thread::sleep_for(2 * kPause);  // it computes by now
    stopwatch.start();
    thread.kill(0ms);
    try {
      thread.getResult();
    } catch (const Killed&) {
      stopwatch.stop();
    }
  }
}

/// The same, of a worker that has a gigabyte.
void kill_large_worker(benchmark::State& state, const std::string& name) {
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    KillableThread thread([] {
      std::vector<char> memory(std::size_t{1} << 30, 'x');
      benchmark::DoNotOptimize(memory.data());
      compute_for_ever();
    });
    thread.start();
    // Until it computes: its processor time goes on, its memory is there.
    std::this_thread::sleep_for(4s);
    stopwatch.start();
    thread.kill(0ms);
    try {
      thread.getResult();
    } catch (const Killed&) {
      stopwatch.stop();
    }
  }
}

}  // namespace

void register_calls() {
  add("call, spare ready", 200, with_spare);
  add("call, no spare", 1, fresh_without_spare);
  add("call, spawn", 20, spawned);
  add("calls, 8 in flight", 2, saturated);
  add("kill(0ms) to Killed", 100, kill_busy_worker);
  add("kill(0ms) to Killed, 1 GB", 3, kill_large_worker);
}

}  // namespace killable::bench
