#pragma once

#include <deque>
#include <utility>
#include <vector>

/// The results of a row of calls, in their order.
namespace killable::detail {

template <class R>
class Results {
 public:
  /// Waits for the first call of the row. Throws what it threw.
  template <class Thread>
  void take(std::deque<Thread>& row) {
    results_.push_back(row.front().getResult());
    row.pop_front();
  }

  std::vector<R> get() && { return std::move(results_); }

 private:
  std::vector<R> results_;
};

template <>
class Results<void> {
 public:
  template <class Thread>
  void take(std::deque<Thread>& row) {
    row.front().getResult();
    row.pop_front();
  }

  void get() && {}
};

}  // namespace killable::detail
