#pragma once

#include <sys/types.h>

namespace killable::bench {

/// See proc(5), /proc/pid/stat.
pid_t parent_of(pid_t process);

}  // namespace killable::bench
