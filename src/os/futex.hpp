#pragma once

#include <atomic>
#include <cstdint>

#include "os/deadline.hpp"

/// Futexes in memory that processes share. Either side needs no more than a mapping that
/// it can read. See futex(2).
namespace killable::os {

/// Blocks while `word` is `expected`, until woken, until a signal handler has run or
/// `deadline`: the caller looks and loops.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                const Deadline& deadline = Deadline::never()) noexcept;

/// Wakes everyone that waits on `word`.
void futex_wake(const std::atomic<std::uint32_t>& word) noexcept;

}  // namespace killable::os
