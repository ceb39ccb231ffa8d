#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <vector>

#include "os/children.hpp"
#include "os/deadline.hpp"

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

/// The children of the calling process, which has one thread, that nobody claims.
class Strangers {
 public:
  /// What a round has met: living ones, the dead of this round, which may have left some,
  /// among them. Lingering is what runs no more code of its own, has no children, and can
  /// neither be ended nor reaped: it sleeps in the kernel and has had SIGKILL for a
  /// second, or is dead and traced by somebody who lives on. To wait for that could take
  /// for ever.
  enum class Left { nothing, lingering, living };

  /// One round: reaps those that have ended, and SIGKILLs the others, all but those that
  /// `is_ours` claims, with their descendants.
  Left kill(const std::function<bool(pid_t)>& is_ours);

 private:
  void meet(const std::vector<pid_t>& strangers);
  bool lingers(pid_t child) const;

  os::OwnChildren children_;
  std::map<pid_t, os::Clock::time_point> met_;  ///< When they were met first.
};

/// Kills and reaps every descendant of the calling process, a subreaper. Blocks until
/// none is left, or only what lingers.
void kill_all_descendants();

}  // namespace killable::worker
