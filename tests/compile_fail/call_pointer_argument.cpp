// EXPECT: a raw pointer cannot cross a process: pass the value, std::string
#include <killable/detail/callable.hpp>

inline auto dereference = [](auto pointer) { return *pointer; };

static_assert(sizeof(killable::detail::CallTraits<decltype(dereference), int*>) > 0);
