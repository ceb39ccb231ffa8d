// EXPECT: a union cannot cross a process: use std::variant
#include <killable/detail/archive.hpp>

union Either {
  int number;
  float real;
};

void misuse(killable::detail::Sink& sink, const std::vector<Either>& value) {
  killable::detail::encode(sink, value);
}
