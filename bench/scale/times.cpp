#include "times.hpp"

#include <algorithm>

namespace killable::bench {

double Times::quantile_us(double quantile) const {
  std::vector<double> sorted = us_;
  const auto nth =
      sorted.begin() +
      static_cast<std::ptrdiff_t>(quantile * static_cast<double>(sorted.size() - 1));
  std::ranges::nth_element(sorted, nth);
  return *nth;
}

}  // namespace killable::bench
