#pragma once

/// Whether the function of a call has made any system call. One that has made none has
/// changed nothing that the kernel keeps of its process, and nobody need look for that.
///
/// The kernel tells by Syscall User Dispatch: as long as a byte of this process says so,
/// a system call of its thread raises SIGSYS in place of being made. The handler takes
/// the byte back and returns to the instruction, which then makes the call: each function
/// is interrupted once at most. See prctl(2), PR_SET_SYSCALL_USER_DISPATCH, Linux 5.11;
/// it is there on x86-64. It ends in a child of fork(2) and by execve(2).
///
/// As the dispatch is of one thread, and its byte one for all, so is this global.
namespace killable::worker::syscall_watch {

/// Handles SIGSYS, and has the calling thread watched. False: it cannot be, or SIGSYS is
/// somebody else's by now.
bool install() noexcept;

/// Has it watched again, after a function that may have ended that, but still handles
/// SIGSYS as before. False: it cannot be.
bool renew() noexcept;

/// Requires: the thread is watched, and SIGSYS is not blocked before end() or the first
/// system call, nor is it while the handler of another signal runs: a system call there
/// would end the process.
void begin() noexcept;

/// Whether no system call was made since begin().
bool end() noexcept;

}  // namespace killable::worker::syscall_watch
