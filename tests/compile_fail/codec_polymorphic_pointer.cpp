// EXPECT: a pointer to a base class would lose the derived object
#include <killable/detail/archive.hpp>

#include <memory>

struct Shape {
  virtual ~Shape() = default;
  template <class Archive>
  void serialize(Archive&) {}
};

void misuse(killable::detail::Sink& sink, const std::unique_ptr<Shape>& value) {
  killable::detail::encode(sink, value);
}
