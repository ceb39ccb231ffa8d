#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>

#include "core/host_worker.hpp"
#include "os/deadline.hpp"

namespace killable::core {

/// When none of the code of a worker that was sent SIGKILL can run any more. The kernel
/// tells so long before a large worker is gone. Keeps what it looks at, so that it can be
/// awaited without a lock.
class LastInstruction {
 public:
  /// How long a kill waits for it before it leaves the call to the fork server, which
  /// would take the processor from a worker that has to run to die.
  static constexpr std::chrono::milliseconds kPatience{2};

  /// Requires: SIGKILL was sent to `worker` by this process, when it had not ended.
  explicit LastInstruction(const HostWorker& worker);

  /// Blocks until then, or `deadline`. False: the kernel does not tell in time, or there
  /// are threads or descendants to be ended; then only the fork server has the word.
  bool await(const os::Deadline& deadline) const;

 private:
  std::shared_ptr<const channel::HostSlot> slot_;
  std::shared_ptr<const Watch> watch_;
  pid_t pid_;
};

}  // namespace killable::core
