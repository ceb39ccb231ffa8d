#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

namespace killable::bench {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// What one benchmark measured, repetitions taken together. Google Benchmark gives means
/// of whole runs; what counts here are the median and the tail of single events.
class Samples {
 public:
  void add(Seconds sample) { seconds_.push_back(sample.count()); }
  bool empty() const { return seconds_.empty(); }
  double median_us() const { return quantile_us(0.5); }
  double p99_us() const { return quantile_us(0.99); }

 private:
  double quantile_us(double quantile) const;

  std::vector<double> seconds_;
};

/// By the name of the benchmark.
std::map<std::string, Samples>& all_samples();

/// Times the events of one benchmark, one or more per iteration, and tells both Google
/// Benchmark, which has to use manual time, and all_samples().
class Stopwatch {
 public:
  Stopwatch(benchmark::State& state, const std::string& name)
      : state_(state), samples_(all_samples()[name]) {}
  ~Stopwatch();
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  void start() { started_ = Clock::now(); }
  /// `events`: how many have happened since start().
  void stop(int events = 1) { add(Seconds(Clock::now() - started_) / events); }
  void add(Seconds event);

 private:
  benchmark::State& state_;
  Samples& samples_;
  Clock::time_point started_;
};

/// Each event is measured on its own, with the processors idle before it.
inline constexpr std::chrono::milliseconds kPause{1};

/// Registers a benchmark that calls `run(state, name, arguments...)`.
template <class... Arguments>
void add(const std::string& name, int iterations,
         void (*run)(benchmark::State&, const std::string&, Arguments...),
         std::type_identity_t<Arguments>... arguments) {
  benchmark::RegisterBenchmark(
      name.c_str(), [=](benchmark::State& state) { run(state, name, arguments...); })
      ->UseManualTime()
      ->Iterations(iterations);
}

void register_floors();
void register_calls();
void register_codec();
void register_pools();

/// Prints what the processes of the library hold, in a session of its own.
void print_memory();

}  // namespace killable::bench
