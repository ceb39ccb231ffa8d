// EXPECT: a reference or std::ref cannot cross a process: pass the value
#include <killable/detail/callable.hpp>

#include <functional>

int increment(int);

static_assert(sizeof(killable::detail::CallTraits<decltype(increment),
                                                  std::reference_wrapper<int>>) > 0);
