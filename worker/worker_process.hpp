#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>

#include "wire/control.hpp"

namespace killable::worker {

/// What a new worker is given. The descriptors are borrowed: their owners' destructors
/// never run in the worker.
struct WorkerSetup {
  wire::WorkerId id;
  std::uint64_t slot_bytes;
  std::uint64_t inbox_bytes;
  int slot;
  int inbox;
  int bell;
  int channel;
  int entry;
  pid_t fork_server;
  rlimit open_files;  ///< What the worker's function is to have of them.
  bool spawn;
};

/// Turns the child of a fork(2) into a worker: session, signals, limits, descriptors;
/// then serves its calls, here or, for `spawn`, in a fresh exec of the image.
[[noreturn]] void become_worker(const WorkerSetup& setup) noexcept;

/// The rest of it, in the exec'd image.
[[noreturn]] void resume_spawned_worker(int argc, char** argv) noexcept;

}  // namespace killable::worker
