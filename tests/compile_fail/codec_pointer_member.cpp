// EXPECT: a raw pointer cannot cross a process: pass the value, std::string
#include <killable/detail/archive.hpp>

struct Name {
  const char* text;
};

void misuse(killable::detail::Sink& sink, const std::vector<Name>& value) {
  killable::detail::encode(sink, value);
}
