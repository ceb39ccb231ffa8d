#pragma once

#include <sys/types.h>

#include <memory>

#include "core/host_worker.hpp"

namespace killable::core {

/// When none of the code of a worker that was sent SIGKILL can run any more. The kernel
/// tells so long before a large worker is gone. Keeps what it looks at, so that it can be
/// awaited without a lock.
class LastInstruction {
 public:
  /// Requires: SIGKILL was sent to `worker` by this process, when it had not ended.
  explicit LastInstruction(const HostWorker& worker);

  /// Blocks until then. False: the worker is gone so fast that only the fork server knows
  /// what it has left, or there are threads or descendants to be ended.
  bool await() const;

 private:
  std::shared_ptr<const channel::HostSlot> slot_;
  std::shared_ptr<const Watch> watch_;
  pid_t pid_;
};

}  // namespace killable::core
