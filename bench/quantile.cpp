#include "quantile.hpp"

#include <algorithm>
#include <cstddef>

namespace killable::bench {

double quantile(std::vector<double> values, double which) {
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(
                                        which * static_cast<double>(values.size() - 1));
  std::ranges::nth_element(values, nth);
  return *nth;
}

}  // namespace killable::bench
