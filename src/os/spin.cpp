#include "os/spin.hpp"

#include <sched.h>

namespace killable::os {

std::uint32_t this_processor() noexcept {
  return static_cast<std::uint32_t>(::sched_getcpu() + 1);
}

}  // namespace killable::os
