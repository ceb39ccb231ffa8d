#include "os/fault.hpp"

#ifdef KILLABLE_FAULT_INJECTION

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace killable::os {

void fault_point(Fault fault) noexcept {
  const char* request = std::getenv("KILLABLE_FAULT");
  if (request == nullptr) return;
  int number = 0;
  int signal = 0;
  char token[4096] = {};
  if (std::sscanf(request, "%d %d %4095s", &number, &signal, token) != 3) return;
  // Whoever removes the token takes the fault; it strikes once.
  if (number == static_cast<int>(fault) && ::unlink(token) == 0)
    ::kill(::getpid(), signal);
}

}  // namespace killable::os

#endif
