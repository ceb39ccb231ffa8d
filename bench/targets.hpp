#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "memory.hpp"

namespace killable::bench {

/// One row of the table that counts: ratios, since the numbers of one machine say little
/// about another.
struct Target {
  std::string what;
  std::string placement;  ///< Empty where there are no two sides.
  std::string unit;
  std::optional<double> measured;  ///< Empty: could not be measured.
  std::string against;
  std::optional<double> floor;
  double limit;         ///< Of the ratio.
  std::string failure;  ///< Why something is empty.

  std::optional<double> ratio() const;
  std::string verdict() const;
};

/// What all_samples() and `memory` come to.
std::vector<Target> all_targets(const std::map<std::string, Memory>& memory);

}  // namespace killable::bench
