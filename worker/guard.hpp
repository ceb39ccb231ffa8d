#pragma once

namespace killable::worker {

/// What an image becomes that was executed as a guard: it leaves the host's family by a
/// second fork, so that no wait(2) of the host's ever meets it, forks the fork server,
/// and then only watches. When the host or the fork server is gone, it ends every
/// descendant, however far it has wandered off, and exits. The host's socket closes only
/// then: who sees the end of it knows that nothing is left.
[[noreturn]] void run_guard() noexcept;

}  // namespace killable::worker
