// EXPECT: more than one cereal function: choose with cereal::specialize
#include <killable/detail/archive.hpp>

struct Both {
  template <class Archive>
  void serialize(Archive&) {}
  template <class Archive>
  void save(Archive&) const {}
  template <class Archive>
  void load(Archive&) {}
};

void misuse(killable::detail::Sink& sink, const Both& value) {
  killable::detail::encode(sink, value);
}
