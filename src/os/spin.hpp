#pragma once

#include <chrono>
#include <cstdint>

#include "os/deadline.hpp"

/// To wait without sleeping for what happens on another processor in a moment: a wake
/// takes many times as long. On the same processor it would only be in the way.
namespace killable::os {

/// For at most so long, about what a sleep and a wake take: so a wait never takes more
/// than twice of what the better of both ways does.
inline constexpr std::chrono::microseconds kSpin{20};

/// Where the calling thread runs, counted from 1. It may be elsewhere a moment later.
/// See sched_getcpu(3).
std::uint32_t this_processor() noexcept;

/// Tells the processor that it spins.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

/// Spins until `done`; false: that takes longer than kSpin.
template <class Done>
bool spin_until(Done done) noexcept {
  constexpr int kLooksPerTime = 32;
  const Clock::time_point end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < kLooksPerTime; ++i) {
      if (done()) return true;
      relax();
    }
  } while (Clock::now() < end);
  return false;
}

}  // namespace killable::os
