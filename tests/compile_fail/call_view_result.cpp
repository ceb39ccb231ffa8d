// EXPECT: returns a view of the worker's memory: return std::string or std::vector
#include <killable/detail/callable.hpp>

#include <string>
#include <string_view>

std::string_view trim(std::string_view text);

static_assert(sizeof(killable::detail::CallTraits<decltype(trim), std::string>) > 0);
