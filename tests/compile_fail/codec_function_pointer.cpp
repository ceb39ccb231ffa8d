// EXPECT: a raw pointer cannot cross a process
#include <killable/detail/archive.hpp>

using Callback = void (*)();

void misuse(killable::detail::Sink& sink, const Callback& value) {
  killable::detail::encode(sink, value);
}
