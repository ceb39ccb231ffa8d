// EXPECT: a type needs both halves, save and load, of its cereal functions
#include <killable/detail/archive.hpp>

struct Half {
  template <class Archive>
  void save(Archive&) const {}
};

void misuse(killable::detail::Sink& sink, const Half& value) {
  killable::detail::encode(sink, value);
}
