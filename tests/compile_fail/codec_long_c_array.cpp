// EXPECT: or with a long C array, cannot cross by itself: use std::array
#include <killable/detail/archive.hpp>

struct Holder {
  char text[4096];
};

void misuse(killable::detail::Sink& sink, const Holder& value) {
  killable::detail::encode(sink, value);
}
