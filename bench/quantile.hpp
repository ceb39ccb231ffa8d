#pragma once

#include <vector>

namespace killable::bench {

/// Of 0.99 the 99th percentile. Requires: there is a value.
double quantile(std::vector<double> values, double which);

}  // namespace killable::bench
