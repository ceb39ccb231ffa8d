#pragma once

namespace killable::worker {

/// Does once in the guard what would otherwise be done again in every process that is
/// forked from it. Nothing of it is needed for a call to work. Requires: one thread.
void warm_up() noexcept;

/// The system calls of every call, in a rehearsal of one. They are given a descriptor of
/// -1, which none has: nothing comes of them, but the way there is the same.
void rehearse_system_calls() noexcept;

}  // namespace killable::worker
