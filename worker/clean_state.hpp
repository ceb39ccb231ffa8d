#pragma once

#include <signal.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace killable::worker {

/// What one call of a pool's worker must not leave to the next one, as it was before the
/// first: environment, working directory, umask, user, group and privileges, threads,
/// children, an alarm, and how signals are blocked, ignored, handled, on which stack, and
/// pending. A worker that differs is replaced, since not all of it can be put back.
///
/// Memory is not looked at: what a function leaves in globals, the next one finds.
class CleanState {
 public:
  /// Remembers how this process is, its own threads not counted. Needs a descriptor for
  /// as long as it lives, at wire::kStatusFd.
  CleanState();

  /// A call begins, of this thread.
  void begin_call() noexcept;

  /// The call has ended. Whether all is so still.
  bool still_holds() noexcept;

 private:
  struct Handler {
    int signal;
    struct sigaction action;
  };

  bool handlers_hold() const noexcept;
  bool kernel_state_holds() const noexcept;
  bool can_be_watched() const noexcept;

  bool can_watch_;           ///< Whether the function makes system calls.
  bool watches_ = false;     ///< This call.
  bool was_quiet_ = true;    ///< The call before, which made none.
  unsigned after_loud_ = 0;  ///< Calls that came after one which made some.
  std::vector<Handler> handlers_;
  std::string status_;
  int threads_;
  bool has_children_;
  stack_t signal_stack_;
  std::vector<const char*> environment_;
  struct stat directory_;
};

}  // namespace killable::worker
