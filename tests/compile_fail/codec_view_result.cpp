// EXPECT: returns a view of the worker's memory: return std::string or std::vector
#include <killable/detail/archive.hpp>

void misuse(killable::detail::Source& source) {
  killable::detail::decode_whole<std::vector<std::string_view>>(source);
}
