#pragma once

#include <chrono>
#include <vector>

#include "quantile.hpp"

namespace killable::bench {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

/// How long single events took, or whole rows of them.
class Times {
 public:
  void add(Clock::duration time) { us_.push_back(Microseconds(time).count()); }
  /// Of 0.99 the 99th percentile, in microseconds. Requires: there is one.
  double quantile_us(double which) const { return quantile(us_, which); }
  double median_us() const { return quantile_us(0.5); }
  double p99_us() const { return quantile_us(0.99); }

 private:
  std::vector<double> us_;
};

/// Times what `event` does.
template <class Event>
void time(Times& times, Event event) {
  const Clock::time_point started = Clock::now();
  event();
  times.add(Clock::now() - started);
}

}  // namespace killable::bench
