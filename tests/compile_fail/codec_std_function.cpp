// EXPECT: a callable cannot cross a process as a value: pass the data
#include <killable/detail/archive.hpp>

void misuse(killable::detail::Sink& sink, const std::function<void()>& value) {
  killable::detail::encode(sink, value);
}
