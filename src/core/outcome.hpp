#pragma once

#include <exception>
#include <new>
#include <string>
#include <system_error>

#include <killable/options.hpp>
#include <killable/report.hpp>

#include "wire/control.hpp"

namespace killable::core {

/// What the fork server's report says of an end without a committed result: which state,
/// and the evidence. `started_at_ns` stands in where the function was never entered.
Report report_of(const wire::Ended& ended, std::uint64_t started_at_ns);

/// After a SIGKILL of this process's own: makes the end one by kill(), if it is none of
/// another kind. The fork server may have been late to see whose it was.
void claim_kill(wire::Ended& ended) noexcept;

/// Throws the error for a call that ended with `report.state`, which is neither
/// `returned` nor `threw`. `title` names the call in the text.
[[noreturn]] void throw_outcome(const Report& report, const std::string& title,
                                const Options& options);

/// The StartError of a call that has no worker because of `error`.
std::exception_ptr start_error(const std::string& title, const std::system_error& error);
std::exception_ptr start_error(const std::string& title, const std::bad_alloc& error);

}  // namespace killable::core
