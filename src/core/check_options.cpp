#include "core/check_options.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

namespace killable::core {

namespace {

using namespace std::chrono_literals;

/// What a file can have in the way of size, and then some for the slot's header.
constexpr std::size_t kMaxResultBytes = std::numeric_limits<std::ptrdiff_t>::max() / 2;

}  // namespace

void check_options(const Options& options) {
  if (options.timeout && *options.timeout <= 0ns)
    throw std::invalid_argument("Options::timeout must be positive");
  if (options.grace_period < 0ms)
    throw std::invalid_argument("Options::grace_period must not be negative");
  if (options.max_result_bytes > kMaxResultBytes)
    throw std::invalid_argument("Options::max_result_bytes must not exceed " +
                                std::to_string(kMaxResultBytes));
}

std::string default_name() {
  static std::atomic<std::uint64_t> count{0};
  return "KillableThread-" + std::to_string(++count);
}

}  // namespace killable::core
