#pragma once

#include <gtest/gtest.h>

#include <chrono>

#include <killable/killable_thread.hpp>

namespace killable::test {

/// Long enough for anything that ends at all; no test measures anything by it.
inline constexpr std::chrono::seconds kWatchdog{60};

/// So long that a test which waits for it fails by its watchdog.
inline constexpr std::chrono::hours kForEver{1};

/// Joins `thread`; fails instead of hanging.
template <class R>
::testing::AssertionResult ends(KillableThread<R>& thread) {
  if (thread.join(kWatchdog)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << thread.name() << " has not ended within " << kWatchdog.count() << " s";
}

template <class R>
::testing::AssertionResult ends_as(State state, KillableThread<R>& thread) {
  if (const auto ended = ends(thread); !ended) return ended;
  if (thread.state() == state) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << thread.name() << " " << to_string(thread.state());
}

template <class R>
::testing::AssertionResult ends_killed(KillableThread<R>& thread) {
  return ends_as(State::killed, thread);
}

template <class R>
::testing::AssertionResult times_out(KillableThread<R>& thread) {
  return ends_as(State::timed_out, thread);
}

}  // namespace killable::test
