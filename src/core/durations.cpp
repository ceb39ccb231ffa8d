#include "core/durations.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace killable::core {

void Durations::add(std::chrono::nanoseconds duration) noexcept {
  last_[count_++ % last_.size()] = duration;
}

std::chrono::nanoseconds Durations::quantile(double quantile) const {
  const std::size_t kept = std::min(count_, last_.size());
  if (kept == 0) return {};
  std::vector<std::chrono::nanoseconds> sorted(last_.begin(), last_.begin() + kept);
  // The nearest rank: with few values the largest stands for the tail.
  const auto rank = std::ceil(quantile * static_cast<double>(kept));
  const auto nth = sorted.begin() + static_cast<std::ptrdiff_t>(rank) - 1;
  std::ranges::nth_element(sorted, nth);
  return *nth;
}

}  // namespace killable::core
