// EXPECT: give it a cereal serialize function or make it an aggregate
#include <killable/detail/callable.hpp>

class Opaque {
 public:
  explicit Opaque(int value) : value_(value) {}

 private:
  int value_;
};
Opaque open(int value);

static_assert(sizeof(killable::detail::CallTraits<decltype(open), int>) > 0);
