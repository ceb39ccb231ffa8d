#pragma once

#include <gtest/gtest.h>

#include <chrono>

#include <killable/killable_thread.hpp>

namespace killable::test {

/// Long enough for anything that ends at all; no test measures anything by it.
inline constexpr std::chrono::seconds kWatchdog{60};

/// Joins `thread`; fails instead of hanging.
template <class R>
::testing::AssertionResult ends(KillableThread<R>& thread) {
  if (thread.join(kWatchdog)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << thread.name() << " has not ended within " << kWatchdog.count() << " s";
}

/// Ends, and as Killed.
template <class R>
::testing::AssertionResult ends_killed(KillableThread<R>& thread) {
  if (const auto ended = ends(thread); !ended) return ended;
  if (thread.state() == State::killed) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << thread.name() << " " << to_string(thread.state());
}

}  // namespace killable::test
