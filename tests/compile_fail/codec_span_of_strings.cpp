// EXPECT: only over trivially copyable elements without pointers: take std::vector
#include <killable/detail/archive.hpp>

void misuse(killable::detail::Sink& sink, const std::span<const std::string>& value) {
  killable::detail::encode(sink, value);
}
