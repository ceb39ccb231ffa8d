// EXPECT: an aggregate with a reference cannot cross a process: hold the value
#include <killable/detail/archive.hpp>

struct Holder {
  int& number;
};

void misuse(killable::detail::Sink& sink, const Holder& value) {
  killable::detail::encode(sink, value);
}
