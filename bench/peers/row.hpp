#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iostream>
#include <string>
#include <vector>

/// What the programs that measure other libraries share.
namespace killable::bench::peers {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

/// How long `event()` takes.
template <class Event>
Microseconds timed(Event event) {
  const Clock::time_point before = Clock::now();
  event();
  return Clock::now() - before;
}

/// Prints a row of JSON.
inline void print_row(const std::string& peer, const std::string& what,
                      std::vector<Microseconds> events) {
  std::ranges::sort(events);
  const auto quantile = [&](double q) {
    return events[static_cast<std::size_t>(q * double(events.size() - 1))].count();
  };
  std::cout << R"({"peer": ")" << peer << R"(", "what": ")" << what << R"(", "p50_us": )"
            << quantile(0.5) << R"(, "p99_us": )" << quantile(0.99) << R"(, "n": )"
            << events.size() << "}" << std::endl;
}

/// Measures `event()`, which returns how long it took, after one that is not counted.
template <class Event>
void measure(const std::string& peer, const std::string& what, int count, Event event) {
  event();
  std::vector<Microseconds> events;
  for (int i = 0; i < count; ++i) events.push_back(event());
  print_row(peer, what, std::move(events));
}

}  // namespace killable::bench::peers
