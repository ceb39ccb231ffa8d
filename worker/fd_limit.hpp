#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>

#include "os/unique_fd.hpp"
#include "wire/exec_format.hpp"

namespace killable::worker {

/// The soft limit on descriptors, raised to the hard one for guard and fork server: the
/// latter holds two for each worker.
class FdLimit {
 public:
  FdLimit() noexcept {
    ::getrlimit(RLIMIT_NOFILE, &of_host_);
    rlimit raised = of_host_;
    raised.rlim_cur = raised.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &raised);
  }

  /// For workers, which inherit what the host had.
  const rlimit& of_host() const noexcept { return of_host_; }

  /// Whether there are descriptors left for a worker to arrange its own, and to walk and
  /// kill the tree of one.
  static bool leaves_room() noexcept {
    std::array<os::UniqueFd, kToArrange + kToWalk> probes;
    for (os::UniqueFd& probe : probes) {
      probe = os::UniqueFd(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
      if (!probe) return false;
    }
    return true;
  }

 private:
  /// A worker duplicates each of its own before it moves them to their numbers.
  static constexpr int kToArrange = wire::kFirstFreeFd - wire::kChannelFd;
  /// A directory of /proc and a file in it; or a pidfd and a file that tells whose it is.
  static constexpr int kToWalk = 2;

  rlimit of_host_{};
};

}  // namespace killable::worker
