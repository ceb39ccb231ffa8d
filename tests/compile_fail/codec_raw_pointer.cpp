// EXPECT: a raw pointer cannot cross a process: pass the value, std::string
#include <killable/detail/archive.hpp>

void misuse(killable::detail::Sink& sink,
            const std::vector<std::pair<int, int*>>& value) {
  killable::detail::encode(sink, value);
}
