#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <vector>

#include "os/children.hpp"

/// Ends processes that do not want to end: all descendants of a process, whatever
/// sessions they made and signals they ignore.
///
/// SIGKILLing a subreaper's children in a loop does not terminate against a fork bomb
/// that refills its own slots; killing *all* descendants in every round does. One round
/// may miss a process that was forked meanwhile or moved to another parent; the caller
/// repeats until it has no child left, which no descendant of a subreaper can hide from.
namespace killable::worker {

/// How long a round waits for what it killed before the next one looks again.
inline constexpr std::chrono::milliseconds kRoundPause{1};

/// One round: SIGKILLs every descendant of `process`.
void kill_descendants(pid_t process);

/// One round over the children of the calling process that `is_ours` does not claim:
/// reaps those that have ended, and SIGKILLs the others with their descendants. Returns
/// how many there were of both: only none means that nothing is left.
std::size_t kill_strange_children(const os::OwnChildren& children,
                                  const std::function<bool(pid_t)>& is_ours);

/// Kills and reaps every descendant of the calling process, a subreaper. Blocks until
/// none is left.
void kill_all_descendants();

}  // namespace killable::worker
