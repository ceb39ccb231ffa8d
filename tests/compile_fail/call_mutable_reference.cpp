// EXPECT: the function would change the worker's copy: return the new value instead
#include <killable/detail/callable.hpp>

#include <vector>

void sort(std::vector<int>& values);

static_assert(sizeof(killable::detail::CallTraits<decltype(sort), std::vector<int>>) > 0);
