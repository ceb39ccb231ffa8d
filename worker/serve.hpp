#pragma once

#include <cstdint>

#include <killable/errors.hpp>

#include "wire/control.hpp"

namespace killable::worker {

/// The exit status of a worker that could not even report why.
inline constexpr int kCannotServe = 125;

/// Waits for the call, runs it, commits its result and exits. The descriptors are at the
/// numbers of wire/exec_format.hpp. `slot_bytes` is the slot's size.
[[noreturn]] void serve_one_call(wire::WorkerId id, std::uint64_t slot_bytes) noexcept;

/// For a process that cannot become a worker: waits for its call, to commit `error` in
/// place of a result, and exits.
[[noreturn]] void refuse_call(wire::WorkerId id, const StartError& error) noexcept;

}  // namespace killable::worker
