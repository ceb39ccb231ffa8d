// EXPECT: a reference or std::ref cannot cross a process: pass the value
#include <killable/detail/archive.hpp>

void misuse(killable::detail::Sink& sink,
            const std::vector<std::reference_wrapper<int>>& value) {
  killable::detail::encode(sink, value);
}
