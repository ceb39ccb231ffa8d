// EXPECT: wrong number of arguments
#include <killable/detail/callable.hpp>

int add(int, int);

static_assert(sizeof(killable::detail::CallTraits<decltype(add), int, int, int>) > 0);
