// EXPECT: captures cannot cross a process: pass them as arguments, or wrap the callable
#include <killable/detail/callable.hpp>

inline int outer() { return 1; }
inline auto captured = [x = outer()](int y) { return x + y; };

static_assert(sizeof(killable::detail::CallTraits<decltype(captured), int>) > 0);
