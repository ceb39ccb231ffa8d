#include "core/last_instruction.hpp"

#include <chrono>

#include "os/children.hpp"
#include "os/deadline.hpp"

namespace killable::core {

namespace {

using namespace std::chrono_literals;

/// The word may lie, and on a busy machine even a doomed worker waits for a processor.
constexpr auto kSlice = 2ms;

}  // namespace

LastInstruction::LastInstruction(const HostWorker& worker)
    : slot_(worker.slot), watch_(worker.watch), pid_(worker.pid) {}

bool LastInstruction::await() const {
  while (!slot_->await_death(os::Deadline::in(kSlice)))
    if (watch_->pidfd.has_ended()) return false;
  // As long as it has not ended it cannot have been reaped: the pid is still its own.
  return os::is_alone(pid_) && !watch_->pidfd.has_ended();
}

}  // namespace killable::core
