#pragma once

#include <array>
#include <chrono>
#include <cstddef>

namespace killable::core {

/// The last durations of a kind, for their quantiles.
class Durations {
 public:
  void add(std::chrono::nanoseconds duration) noexcept;

  /// Zero if there are none.
  std::chrono::nanoseconds quantile(double quantile) const;

 private:
  std::array<std::chrono::nanoseconds, 1024> last_{};
  std::size_t count_ = 0;  ///< Of all.
};

}  // namespace killable::core
