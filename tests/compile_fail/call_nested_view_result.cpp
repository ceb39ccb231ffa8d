// EXPECT: returns a view of the worker's memory
#include <killable/detail/callable.hpp>

#include <string>
#include <string_view>
#include <vector>

std::vector<std::string_view> split(const std::string& text);

static_assert(sizeof(killable::detail::CallTraits<decltype(split), std::string>) > 0);
