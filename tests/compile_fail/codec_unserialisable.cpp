// EXPECT: give it a cereal serialize function or make it an aggregate
#include <killable/detail/archive.hpp>

class Closed {
 public:
  explicit Closed(int number) : number_(number) {}

 private:
  int number_;
};

void misuse(killable::detail::Sink& sink, const std::map<int, Closed>& value) {
  killable::detail::encode(sink, value);
}
