#pragma once

#include <chrono>
#include <thread>

namespace killable::test {

/// Waits until `predicate()` holds. The bound is a watchdog against a hang, generous
/// enough for sanitizers on a loaded machine; no test measures anything by it.
template <class Predicate>
bool eventually(Predicate predicate,
                std::chrono::seconds watchdog = std::chrono::seconds(60)) {
  const auto deadline = std::chrono::steady_clock::now() + watchdog;
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace killable::test
