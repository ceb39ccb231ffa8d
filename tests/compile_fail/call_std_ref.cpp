// EXPECT: std::ref cannot cross a process
#include <killable/detail/callable.hpp>

#include <functional>

int increment(int);

static_assert(sizeof(killable::detail::CallTraits<decltype(increment),
                                                  std::reference_wrapper<int>>) > 0);
