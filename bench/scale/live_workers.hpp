#pragma once

#include <cstddef>

#include "footprint.hpp"
#include "times.hpp"

namespace killable::bench {

/// What calls and kills cost beside so many workers that are busy with a call.
struct AmongLive {
  std::size_t live = 0;
  Times call;                   ///< From the handle to the result, one after the other.
  Times pool_call;              ///< The same of a pool's worker that waits.
  Times killed;                 ///< From kill(0ms) to the exception of getResult().
  Times joined;                 ///< From kill(0ms) to the end of join().
  double calls_per_second = 0;  ///< Eight in flight.
  double kills_per_second = 0;  ///< All of a batch killed, then all joined.

  /// Processor time of the fork server for each. Tells more than the times above where
  /// others use the processors, too.
  double server_us_per_call = 0;
  double server_us_per_kill = 0;
  double host_us_per_call = 0;

  Footprint host, guard, fork_server;
  Footprint worker;  ///< Of one, on average.
  std::size_t host_mappings = 0;
  double kernel_kb = 0;  ///< For all processes of the machine.
};

AmongLive measure_among(std::size_t live);

}  // namespace killable::bench
