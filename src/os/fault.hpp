#pragma once

/// Where a test build can stop or kill a process: every step of the protocol at which the
/// other side waits. In every other build a fault point is nothing.
namespace killable::os {

enum class Fault {
  guard_before_fork_server,
  fork_server_before_hello,
  fork_server_before_fork,
  fork_server_after_fork,
  fork_server_before_end,
  fork_server_before_ended,
  worker_after_fork,
  worker_before_call,
  worker_before_entry,
  worker_before_commit,
  worker_after_commit,
  worker_after_bell,
  count,  ///< How many there are.
};

#ifdef KILLABLE_FAULT_INJECTION
/// Sends this process the signal that KILLABLE_FAULT="<fault point> <signal> <token>"
/// asks for, if it is this fault point and the file `token` exists; removes the file, so
/// that it strikes once.
void fault_point(Fault fault) noexcept;
#else
constexpr void fault_point(Fault) noexcept {}
#endif

}  // namespace killable::os
