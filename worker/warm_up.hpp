#pragma once

namespace killable::worker {

/// Does once in the guard what would otherwise be done again in every process that is
/// forked from it. Nothing of it is needed for a call to work. Requires: one thread.
void warm_up() noexcept;

}  // namespace killable::worker
