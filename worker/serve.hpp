#pragma once

#include <cstdint>

#include <killable/errors.hpp>

#include "wire/control.hpp"

namespace killable::worker {

/// The exit status of a worker that could not even report why.
inline constexpr int kCannotServe = 125;

/// Waits for a call, runs it and commits its result, until that was the last one, and
/// exits. The descriptors are at the numbers of wire/exec_format.hpp.
[[noreturn]] void serve_calls(wire::WorkerId id, std::uint64_t slot_bytes,
                              std::uint64_t inbox_bytes) noexcept;

/// For a process that cannot become a worker: commits `error` in place of a result, and
/// exits. Asks for little memory: that may be what is short.
[[noreturn]] void refuse_call(wire::WorkerId id, const StartError& error) noexcept;

}  // namespace killable::worker
