// EXPECT: a span to write to cannot cross a process: take std::span<const T>
#include <killable/detail/archive.hpp>

void misuse(killable::detail::Sink& sink, const std::span<int>& value) {
  killable::detail::encode(sink, value);
}
