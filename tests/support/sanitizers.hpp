#pragma once

#include <algorithm>

namespace killable::test {

/// What a test program can know of the sanitizer that it is built with.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
inline constexpr bool kSanitizer = kAddressSanitizer || kThreadSanitizer;

/// A sanitizer keeps what was freed, to find who still uses it.
inline constexpr bool kFreedMemoryIsGivenBack = !kSanitizer;

/// The operator new of each sanitizer ends the process where it ought to throw
/// std::bad_alloc; their sources say so themselves.
inline constexpr bool kNewThrows = !kSanitizer;

/// What each process has at least: ThreadSanitizer gives it one of its own.
inline constexpr int kThreadsOfAProcess = kThreadSanitizer ? 2 : 1;

/// ThreadSanitizer lifts RLIMIT_AS in a program that is executed, and executes it again.
inline constexpr bool kExecKeepsMemoryLimit = !kThreadSanitizer;

/// ThreadSanitizer ends a fork of a process with threads that makes one of its own.
inline constexpr bool kThreadsAfterFork = !kThreadSanitizer;

/// ThreadSanitizer's clean-up of a cancelled pthread_cond_wait(3) takes it for granted
/// that no signal handler is running, and aborts if the cancellation comes out of one.
/// See CondMutexUnlockCtx and in_blocking_func in its tsan_interceptors_posix.cpp.
inline constexpr bool kConditionsMayBeCancelled = !kThreadSanitizer;

/// Where there is room for mappings, 16 TiB at least; ThreadSanitizer leaves 1.5 TiB.
inline constexpr bool kAddressSpaceIsLarge = !kThreadSanitizer;

/// Whether a call that does nothing is over in a fraction of a millisecond.
inline constexpr bool kCallsMayBeTiny = !kSanitizer;

/// How often to repeat what goes wrong once in `times`. Under a sanitizer each time takes
/// ten times as long, and what the sanitizer looks for shows much earlier.
constexpr int repetitions(int times) {
  return kSanitizer ? std::max(times / 20, 5) : times;
}

}  // namespace killable::test
