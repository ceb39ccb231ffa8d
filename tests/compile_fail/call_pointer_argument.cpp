// EXPECT: a raw pointer means nothing in another process
#include <killable/detail/callable.hpp>

inline auto dereference = [](auto pointer) { return *pointer; };

static_assert(sizeof(killable::detail::CallTraits<decltype(dereference), int*>) > 0);
