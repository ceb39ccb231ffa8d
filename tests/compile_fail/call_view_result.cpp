// EXPECT: a view result would refer to the worker's memory
#include <killable/detail/callable.hpp>

#include <string>
#include <string_view>

std::string_view trim(std::string_view text);

static_assert(sizeof(killable::detail::CallTraits<decltype(trim), std::string>) > 0);
