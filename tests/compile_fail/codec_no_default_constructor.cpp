// EXPECT: no matching (function for call to|constructor)
#include <killable/detail/archive.hpp>

struct NoDefault {
  explicit NoDefault(int) {}
  template <class Archive>
  void serialize(Archive&) {}
};

void misuse(killable::detail::Source& source) {
  killable::detail::decode<NoDefault>(source);
}
