// EXPECT: a pointer or reference into the worker means nothing here
#include <killable/detail/callable.hpp>

int* allocate(int count);

static_assert(sizeof(killable::detail::CallTraits<decltype(allocate), int>) > 0);
