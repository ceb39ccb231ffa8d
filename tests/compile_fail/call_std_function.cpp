// EXPECT: std::function hides what it holds
#include <killable/detail/callable.hpp>

#include <functional>

using Function = std::function<int(int)>;

static_assert(sizeof(killable::detail::CallTraits<Function, int>) > 0);
