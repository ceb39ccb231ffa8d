// EXPECT: a C array cannot cross a process: use std::array
#include <killable/detail/archive.hpp>

struct Holder {
  int size;
  char text[16];
};

void misuse(killable::detail::Sink& sink, const Holder& value) {
  killable::detail::encode(sink, value);
}
