// EXPECT: returns a view of the worker's memory: return std::string or std::vector
#include <killable/detail/archive.hpp>

struct Name {
  std::string_view text;
};

void misuse(killable::detail::Source& source) {
  killable::detail::decode_whole<std::optional<Name>>(source);
}
