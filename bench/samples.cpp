#include "samples.hpp"

#include <algorithm>
#include <cstddef>

namespace killable::bench {

double Samples::quantile_us(double quantile) const {
  std::vector<double> sorted = seconds_;
  const auto nth =
      sorted.begin() +
      static_cast<std::ptrdiff_t>(quantile * static_cast<double>(sorted.size() - 1));
  std::ranges::nth_element(sorted, nth);
  return *nth * 1e6;
}

std::map<std::string, Samples>& all_samples() {
  static std::map<std::string, Samples> samples;
  return samples;
}

void Stopwatch::add(Seconds event) {
  samples_.add(event);
  state_.SetIterationTime(event.count());
}

Stopwatch::~Stopwatch() {
  if (samples_.empty()) return;
  state_.counters["p50_us"] = samples_.median_us();
  state_.counters["p99_us"] = samples_.p99_us();
}

}  // namespace killable::bench
