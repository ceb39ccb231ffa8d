#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace killable::worker {

/// What one call of a pool's worker must not leave to the next one, as it was before the
/// first: environment, working directory, umask, user and group, threads, children, an
/// alarm, and how signals are blocked, ignored, handled and pending. A worker that
/// differs is replaced, since not all of it can be put back.
///
/// Memory is not looked at: what a function leaves in globals, the next one finds.
class CleanState {
 public:
  /// Remembers how this process is, `own_threads` of the worker itself not counted. Needs
  /// a descriptor for as long as it lives, at wire::kStatusFd.
  explicit CleanState(int own_threads);

  /// Whether it is so still.
  bool still_holds(int own_threads) const noexcept;

 private:
  std::string status_;
  int threads_;
  bool has_children_;
  std::vector<const char*> environment_;
  struct stat directory_;
};

}  // namespace killable::worker
