#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "footprint.hpp"

namespace killable::bench {

/// What a long row of calls of every kind leaves behind.
struct LongRun {
  struct Part {
    double median_us;
    double p99_us;
  };
  struct Holder {
    std::string name;
    Footprint before, after;
  };

  std::vector<Part> tenths;     ///< Of all calls, in the order in which they ran.
  std::vector<Holder> holders;  ///< Host, guard and fork server.

  /// What has grown, in words; empty if nothing has.
  std::vector<std::string> complaints() const;
};

/// Runs `calls` calls one after the other: values, exceptions, crashes and exits, with
/// workers of their own and in a pool, and every tenth is killed.
LongRun run_mixed_calls(std::size_t calls);

}  // namespace killable::bench
