#pragma once

#include <stop_token>

#include <killable/detail/worker_call.hpp>

/// What SIGTERM, and the host's request_stop(), do to the call that this worker runs.
///
///   idle          nothing was entered: SIGTERM ends the process
///   cancellable   SIGTERM cancels the thread: it unwinds at its next cancellation point
///   cooperative   SIGTERM requests stop on the call's token
///   finishing     the function has ended: SIGTERM does nothing, the result comes first
///
///   idle -> cancellable | cooperative -> finishing;   cancellable -> cooperative
///
/// A process has one call and one SIGTERM handler, so this is the one state of the room
/// that is global.
namespace killable::worker::interruption {

/// Prepares an image for workers whose thread can be cancelled by a signal handler, and
/// silences std::terminate once a SIGTERM has come. To be called once, before they are
/// forked; they inherit what it did.
void warm_up() noexcept;

/// Handles SIGTERM. The calling thread is the one that will run the function.
void install() noexcept;

/// Forgets the call before. Requires: no stop was requested of that.
void begin_call();

void enter(detail::Entry entry);
void leave() noexcept;

/// Everything of the call is over: SIGTERM ends the process, also one that came before.
void end_call() noexcept;

/// The call's token; makes a cancellable call cooperative. Throws std::system_error where
/// there is no descriptor or thread for it, and leaves the call as it was.
std::stop_token stop_token();

/// How many threads were made here for good.
int own_threads() noexcept;

/// Ends a process whose function was unwound: by SIGTERM's default action if that was the
/// reason, so that the wait status tells; else, for pthread_exit(3), with exit status 0.
[[noreturn]] void end_unwound() noexcept;

}  // namespace killable::worker::interruption
