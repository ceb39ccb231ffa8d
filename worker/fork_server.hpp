#pragma once

#include <sys/types.h>

#include "os/seqpacket.hpp"
#include "worker/fd_limit.hpp"

namespace killable::worker {

/// Forks workers, enforces their timeouts and grace periods, reaps them and what they
/// leave behind, and reports to the host. Runs in a process of its own, single-threaded,
/// whose parent is the guard. Returns only by _exit(2): when the host or the guard is
/// gone, after every descendant is.
[[noreturn]] void run_fork_server(os::SeqPacket control, pid_t guard,
                                  const FdLimit& fd_limit);

}  // namespace killable::worker
