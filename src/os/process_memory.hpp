#pragma once

#include <sys/types.h>

#include <cstdint>

namespace killable::os {

/// Resident memory of a process, in bytes; 0 if it is gone. See proc(5), /proc/pid/statm.
std::uint64_t resident_bytes(pid_t process);

}  // namespace killable::os
