#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>

#include "os/pidfd.hpp"
#include "os/unique_fd.hpp"
#include "wire/control.hpp"

namespace killable::worker {

/// Tells which workers have ended, at a cost that does not depend on how many live: to
/// look for one that can be reaped, waitid(2) goes through all children. It tells also of
/// those that cannot be reaped yet, since a process of theirs traces them, for which
/// there is no SIGCHLD. See pidfd_open(2), ptrace(2).
class DeathWatch {
 public:
  /// Throws std::system_error.
  DeathWatch();

  /// Readable once for each worker that ended; next() takes that in.
  int get() const noexcept { return epoll_.get(); }

  /// One that has ended, if there is another.
  std::optional<wire::WorkerId> next() const noexcept;

  /// False, and errno: it cannot be watched. See epoll(7), max_user_watches.
  bool add(const os::Pidfd& pidfd, wire::WorkerId worker) const noexcept;
  void remove(const os::Pidfd& worker) const noexcept;

 private:
  os::UniqueFd epoll_;
};

/// How a child ended, as waitid(2) tells it.
struct Death {
  int code = 0;
  int status = 0;
  rusage usage{};
};

/// Reaps a child if it has ended. Never blocks, also not on one that is traced by another
/// process, which cannot be reaped until its tracer is gone.
std::optional<Death> reap_child(pid_t child) noexcept;

}  // namespace killable::worker
