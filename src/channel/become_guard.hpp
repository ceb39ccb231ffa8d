#pragma once

#include "os/seqpacket.hpp"

namespace killable::channel {

/// Turns the calling process, a fresh fork of the host, into a guard as an exec of the
/// image would: for calls whose captured state only a fork of the host has. Defined in
/// worker/. Async-signal-safe enough for the child of a single-threaded host only.
[[noreturn]] void become_guard(os::SeqPacket control) noexcept;

}  // namespace killable::channel
