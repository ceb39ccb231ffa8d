#pragma once

namespace killable::worker {

/// Where every image of ours begins, before the program's main: does not return if this
/// process was executed to be a guard or a worker.
void enter_if_ours(int argc, char** argv) noexcept;

}  // namespace killable::worker
