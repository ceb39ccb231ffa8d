#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "os/deadline.hpp"

namespace killable::core {

/// How many spares to keep: as many as calls have lately started at once, but for the
/// bounds. Each start that finds none adds one; each second in which all found one takes
/// one away. Not thread-safe.
class SpareTarget {
 public:
  explicit SpareTarget(std::size_t most) noexcept
      : most_(most), least_(std::min<std::size_t>(most, 2)), count_(least_) {}

  /// A start found no spare, or one that is still being forked.
  void missed() noexcept {
    count_ = std::min(most_, count_ + 1);
    changed_at_ = os::Clock::now();
  }

  /// The count as of now.
  std::size_t decayed_count() noexcept {
    const os::Clock::time_point now = os::Clock::now();
    if (count_ > least_ && now - changed_at_ >= std::chrono::seconds(1)) {
      --count_;
      changed_at_ = now;
    }
    return count_;
  }

 private:
  const std::size_t most_;
  const std::size_t least_;
  std::size_t count_;
  os::Clock::time_point changed_at_{};
};

}  // namespace killable::core
