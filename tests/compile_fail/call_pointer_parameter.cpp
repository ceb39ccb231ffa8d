// EXPECT: a raw pointer means nothing in another process
#include <killable/detail/callable.hpp>

int sum(const int* values, int count);

static_assert(sizeof(killable::detail::CallTraits<decltype(sum), int*, int>) > 0);
