// EXPECT: a callable cannot cross a process as a value: pass the data
#include <killable/detail/archive.hpp>

void misuse(killable::detail::Sink& sink, int number) {
  killable::detail::encode(sink, [number] { return number; });
}
