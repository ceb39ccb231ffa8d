#pragma once

#include <string>
#include <system_error>

namespace killable::os {

/// Throws std::system_error for `error` (an errno(3) value), saying the attempt and its
/// object, and the limit if it is on descriptors: "cannot memfd_create the slot
/// (RLIMIT_NOFILE is 1024): Too many open files".
[[noreturn]] void throw_errno(int error, const std::string& attempt);

/// The text of `error` without the description of its code, which the constructor of the
/// next std::system_error appends again.
std::string attempt_of(const std::system_error& error);

/// Calls `system_call` again for as long as a signal handler interrupts it.
template <class SystemCall>
auto retry_on_eintr(SystemCall system_call) noexcept;

}  // namespace killable::os

#include <cerrno>

template <class SystemCall>
auto killable::os::retry_on_eintr(SystemCall system_call) noexcept {
  auto result = system_call();
  while (result == -1 && errno == EINTR) result = system_call();
  return result;
}
