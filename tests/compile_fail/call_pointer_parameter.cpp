// EXPECT: a raw pointer cannot cross a process: pass the value, std::string
#include <killable/detail/callable.hpp>

int sum(const int* values, int count);

static_assert(sizeof(killable::detail::CallTraits<decltype(sum), int*, int>) > 0);
