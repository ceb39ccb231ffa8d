#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "placement.hpp"

namespace killable::bench {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

/// Times single events.
class Stopwatch {
 public:
  void start() { started_ = Clock::now(); }
  /// `events`: how many have happened since start().
  void stop(int events = 1) { add(Seconds(Clock::now() - started_) / events); }
  void add(Seconds event) { seconds_.push_back(event.count()); }
  std::vector<double> seconds() && { return std::move(seconds_); }

 private:
  std::vector<double> seconds_;
  Clock::time_point started_;
};

/// What one series measured, repetitions taken together. Google Benchmark gives means of
/// whole runs; what counts here are the median and the tail of single events.
class Samples {
 public:
  void add(std::span<const double> seconds);
  std::size_t size() const { return seconds_.size(); }
  bool empty() const { return seconds_.empty(); }
  double median_us() const { return quantile_us(0.5); }
  double p99_us() const { return quantile_us(0.99); }

  /// Why there are none.
  std::string failure = "left out by --benchmark_filter";

 private:
  double quantile_us(double quantile) const;

  std::vector<double> seconds_;
};

/// What is measured, and where.
struct Series {
  std::string what;
  Placement placement;

  auto operator<=>(const Series&) const = default;
};

std::map<Series, Samples>& all_samples();

/// Each event is measured on its own, with the processors idle before it.
inline constexpr std::chrono::milliseconds kPause{1};

/// Measures so many events, in seconds each.
using Measure = std::vector<double> (*)(Placement placement, int events);

/// Registers the benchmark "what/placement". It runs `measure` in a fork of this process,
/// which is small and has no session: so each one is a host with a fork server of its
/// own, whose forks cost what those of the fork server do, and that can be pinned for
/// good.
void add(const std::string& what, int events, Measure measure,
         std::span<const Placement> placements);

/// Unpinned alone.
void add(const std::string& what, int events, Measure measure);

void register_floors();
void register_calls();
void register_codec();
void register_pools();

}  // namespace killable::bench
