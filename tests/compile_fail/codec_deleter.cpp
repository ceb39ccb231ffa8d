// EXPECT: a pointer to an array, or with a deleter of its own, cannot cross
#include <killable/detail/archive.hpp>

void misuse(killable::detail::Sink& sink, const std::unique_ptr<int[]>& value) {
  killable::detail::encode(sink, value);
}
