#include "placement.hpp"

#include <cstddef>

namespace killable::bench {

namespace {

cpu_set_t allowed_processors() {
  // Of the process and not of the caller, who may have become the host already.
  static const cpu_set_t allowed = [] {
    cpu_set_t set;
    ::sched_getaffinity(0, sizeof set, &set);
    return set;
  }();
  return allowed;
}

/// The first or second one that this process may use.
cpu_set_t only_processor(int index) {
  const cpu_set_t allowed = allowed_processors();
  int processor = 0;
  for (; processor < CPU_SETSIZE; ++processor)
    if (CPU_ISSET(processor, &allowed) && index-- == 0) break;
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  return only;
}

void pin_to(const cpu_set_t& processors) {
  ::sched_setaffinity(0, sizeof processors, &processors);
}

}  // namespace

const char* name_of(Placement placement) {
  constexpr std::array kNames{"unpinned", "same processor", "apart"};
  return kNames[static_cast<std::size_t>(placement)];
}

bool can_be_apart() {
  const cpu_set_t allowed = allowed_processors();
  return CPU_COUNT(&allowed) >= 2;
}

cpu_set_t workers_processors(Placement placement) {
  if (placement == Placement::unpinned) return allowed_processors();
  return only_processor(placement == Placement::apart ? 1 : 0);
}

void become_host(Placement placement) {
  pin_to(placement == Placement::unpinned ? allowed_processors() : only_processor(0));
}

void become_worker(Placement placement) { pin_to(workers_processors(placement)); }

void start_session(Placement placement, const Config& config) {
  configure(config);
  become_worker(placement);
  warm_up();
  become_host(placement);
}

}  // namespace killable::bench
