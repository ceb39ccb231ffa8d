#pragma once

#include <cstdint>

namespace killable::test {

/// What this machine has left, in bytes. See proc(5), /proc/meminfo.
std::uint64_t available_memory();

}  // namespace killable::test
