// EXPECT: wrong types of arguments
#include <killable/detail/callable.hpp>

#include <string>

int add(int, int);

static_assert(sizeof(killable::detail::CallTraits<decltype(add), int, std::string>) > 0);
