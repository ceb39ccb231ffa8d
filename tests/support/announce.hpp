#pragma once

#include <sys/types.h>

#include <string>

/// Functions for calls that tell in which process they run: see await_pid().
namespace killable::test {

/// Then computes for ever.
pid_t announce_and_spin(const std::string& file);

/// Then waits for `go`, and returns the process.
pid_t announce_and_wait(const std::string& file, const std::string& go);

}  // namespace killable::test
