#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>

namespace killable::bench {

/// What one process holds.
struct Footprint {
  double rss_kb = 0;
  double pss_kb = 0;      ///< Shared pages count in parts.
  double private_kb = 0;  ///< Dirty pages of its own.
  std::size_t descriptors = 0;
};

/// See proc(5), /proc/pid/smaps_rollup and /proc/pid/fd.
Footprint footprint_of(pid_t process);

/// How many memory mappings it has. See proc(5), /proc/pid/maps.
std::size_t mappings_of(pid_t process);

/// What the kernel holds for all processes: their stacks, page tables and slabs. See
/// proc(5), /proc/meminfo.
double kernel_kb();

/// Processor time that it has used. See proc(5), /proc/pid/schedstat.
std::chrono::nanoseconds processor_time_of(pid_t process);

pid_t parent_of(pid_t process);

/// The processes that stand above a running worker.
struct SessionProcesses {
  pid_t guard;
  pid_t fork_server;
};
SessionProcesses session_of(pid_t worker);

}  // namespace killable::bench
