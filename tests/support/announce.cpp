#include "support/announce.hpp"

#include <unistd.h>

#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

namespace killable::test {

pid_t announce_and_spin(const std::string& file) {
  signal_file(file, std::to_string(::getpid()));
  compute_for_ever();
}

pid_t announce_and_wait(const std::string& file, const std::string& go) {
  signal_file(file, std::to_string(::getpid()));
  await_file(go);
  return ::getpid();
}

}  // namespace killable::test
