// EXPECT: write \[\] instead of a capture default
#include <killable/detail/callable.hpp>

inline void call() {
  const auto nothing_captured = [&](int x) { return x; };
  static_assert(sizeof(killable::detail::CallTraits<decltype(nothing_captured), int>) >
                0);
}
