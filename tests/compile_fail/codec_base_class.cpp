// EXPECT: an aggregate with a base class cannot cross by itself: give it a cereal
#include <killable/detail/archive.hpp>

struct Base {
  int number;
};
struct Derived : Base {
  int other;
};

void misuse(killable::detail::Sink& sink, const Derived& value) {
  killable::detail::encode(sink, value);
}
