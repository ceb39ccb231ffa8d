#include "worker/standard_streams.hpp"

#include <cstdio>
#include <exception>
#include <iostream>

namespace killable::worker {

void flush_standard_streams() noexcept {
  try {
    std::cout.flush();
    std::cerr.flush();
    std::clog.flush();
  } catch (const std::exception&) {
    // The user made the stream throw; what it cannot write is lost, as on exit(3).
  }
  std::fflush(stdout);
  std::fflush(stderr);
}

}  // namespace killable::worker
