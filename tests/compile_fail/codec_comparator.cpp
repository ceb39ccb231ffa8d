// EXPECT: a container whose comparator or hash has state cannot cross
#include <killable/detail/archive.hpp>

using Numbers = std::set<int, bool (*)(int, int)>;

void misuse(killable::detail::Sink& sink, const Numbers& value) {
  killable::detail::encode(sink, value);
}
