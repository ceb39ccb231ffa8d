#pragma once

#include <cstddef>
#include <cstdint>

#include "wire/control.hpp"

/// What the host sends a worker over its channel, a SOCK_SEQPACKET pair of the two alone.
/// The host's end refuses every message, so a worker cannot send anything back.
///
///   Call + arguments     once
///   Stop                 any time after
///
/// The arguments' memfd is sealed against every write, the host's own included; it holds,
/// encoded one after another:
///
///   arguments = trampoline callable parameter*
///
/// where `trampoline` and, for a function pointer, `callable` are a FunctionRef.
namespace killable::wire {

inline constexpr std::size_t kNameBytes = 64;

enum class CallType : std::uint32_t { call = 0x6c6c6163, stop = 0x706f7473 };

struct Call {
  static constexpr auto kType = CallType::call;
  CallType type = kType;
  std::uint32_t padding = 0;
  WorkerId worker;
  std::uint64_t arguments_bytes;
  std::uint64_t max_result_bytes;
  char name[kNameBytes];  ///< Ends with a zero; cut if longer.
};

struct Stop {
  static constexpr auto kType = CallType::stop;
  CallType type = kType;
};

inline constexpr std::size_t kMaxCallBytes = sizeof(Call);

}  // namespace killable::wire
