#pragma once

#include <string>

/// What the functions of the tests do in their workers.
namespace killable::test {

/// Waits at a cancellation point for ever.
[[noreturn]] void sleep_for_ever();

/// Computes for ever and reaches no cancellation point.
[[noreturn]] void compute_for_ever();

/// Computes, without a cancellation point, until the file `path` exists.
void compute_until(const std::string& path);

/// Every signal that allows it.
void ignore_every_signal();
void block_every_signal();

/// From now on what this process writes to descriptors 1 and 2 goes to the file `path`.
void write_output_to(const std::string& path);

}  // namespace killable::test
