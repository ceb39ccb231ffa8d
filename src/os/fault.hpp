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
  count,
};

#ifdef KILLABLE_FAULT_INJECTION
/// Raises the signal that the environment asks for: KILLABLE_FAULT="<number of the fault
/// point> <signal>". The first process that passes takes it, the next pass without.
void fault_point(Fault fault) noexcept;
#else
constexpr void fault_point(Fault) noexcept {}
#endif

}  // namespace killable::os
