#pragma once

#include <killable/runtime.hpp>

#include <sched.h>

#include <array>

/// Which processors run what: the same wake takes ten times as long to another one, so a
/// comparison holds only where both sides of it are placed alike.
namespace killable::bench {

enum class Placement {
  unpinned,  ///< Where the kernel likes it.
  same,      ///< Host and workers on one processor.
  apart,     ///< The host on one, all workers on another.
};

inline constexpr std::array kPlacements{Placement::unpinned, Placement::same,
                                        Placement::apart};

const char* name_of(Placement placement);

/// Whether this machine, or what this process may use of it, has two processors.
bool can_be_apart();

/// Where `placement` has workers run, or what stands for one in a floor.
cpu_set_t workers_processors(Placement placement);

/// Moves the calling thread to where `placement` has the host, or a worker. Once.
void become_host(Placement placement);
void become_worker(Placement placement);

/// Starts this process's fork server where `placement` has the workers, which inherit
/// that, and moves the caller to where it has the host. Requires a process without one.
void start_session(Placement placement, const Config& config = {});

}  // namespace killable::bench
