// EXPECT: bit-field
#include <killable/detail/archive.hpp>

struct Flags {
  unsigned low : 3;
  unsigned high : 5;
};

void misuse(killable::detail::Sink& sink, const Flags& flags) {
  killable::detail::encode(sink, flags);
}
