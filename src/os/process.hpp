#pragma once

#include <sys/types.h>

namespace killable::os {

/// What getpid(2) tells, without a system call but for the first time in each process,
/// forks of any kind included.
pid_t this_process() noexcept;

}  // namespace killable::os
