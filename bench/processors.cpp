#include "processors.hpp"

namespace killable::bench {

void pin_to(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

Pinned::Pinned(int processor) {
  ::sched_getaffinity(0, sizeof before_, &before_);
  pin_to(processor);
}

Pinned::~Pinned() { ::sched_setaffinity(0, sizeof before_, &before_); }

std::array<int, 2> two_processors(bool apart) {
  cpu_set_t set;
  ::sched_getaffinity(0, sizeof set, &set);
  std::array<int, 2> found{-1, -1};
  for (int i = 0; i < CPU_SETSIZE && found[1] == -1; ++i)
    if (CPU_ISSET(i, &set)) found[found[0] == -1 ? 0 : 1] = i;
  if (!apart || found[1] == -1) found[1] = found[0];
  return found;
}

}  // namespace killable::bench
