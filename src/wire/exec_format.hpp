#pragma once

#include <cstddef>

/// How an exec'd image of ours knows what it is to be: its first argument, and
/// descriptors at fixed numbers.
///
///   guard    argv = title kGuardArgument padding            descriptors: kControlFd
///   worker   argv = title kWorkerArgument padding id slot_bytes inbox_bytes
///                                                           descriptors: the five below
///
/// The padding is room for a longer title: what ps(1) shows is the memory of argv.
namespace killable::wire {

inline constexpr char kGuardArgument[] = "--killable-guard";
inline constexpr char kWorkerArgument[] = "--killable-worker";
inline constexpr std::size_t kTitlePadding = 64;

inline constexpr int kControlFd = 3;

inline constexpr int kChannelFd = 3;
inline constexpr int kBellFd = 4;   ///< An eventfd: the worker tells of its result.
inline constexpr int kEntryFd = 5;  ///< Gone before the function is entered.
inline constexpr int kSlotFd = 6;   ///< Gone before the function is entered.
inline constexpr int kInboxFd = 7;  ///< Gone before the function is entered.
inline constexpr int kFirstFreeFd = 8;

/// /proc/self/status, which a worker opens if it is to have several calls.
inline constexpr int kStatusFd = 8;

}  // namespace killable::wire
