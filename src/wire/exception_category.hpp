#pragma once

#include <system_error>

#include "wire/exception_text.hpp"

/// Error codes, with their categories, in exception records.
namespace killable::wire {

/// Writes the code's value and its category: by number where it is the standard's own,
/// else by name and with the message it has for this code.
void write_code(Sink& sink, const std::error_code& code);

/// The code again. In place of a category that is not the standard's own there is one of
/// the same name, whose message() is what was written; equal names and messages share
/// one. These are never freed, since error codes may be copied anywhere, and so their
/// number is bounded: past the bound, one named "unknown" stands for all. Throws:
/// CodecError. Thread-safe.
std::error_code read_code(Source& source);

}  // namespace killable::wire
