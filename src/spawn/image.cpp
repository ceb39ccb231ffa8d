#include "spawn/image.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <system_error>

#include <killable/errors.hpp>

#include "os/image.hpp"
#include "wire/exec_format.hpp"

namespace killable::spawn {

namespace {

/// Whether this process was executed as one of ours and has not reached main: later its
/// title replaces its arguments.
bool is_before_our_main() {
  std::ifstream arguments("/proc/self/cmdline", std::ios::binary);
  std::string title;
  std::string role;
  std::getline(arguments, title, '\0');
  std::getline(arguments, role, '\0');
  return role == wire::kGuardArgument || role == wire::kWorkerArgument;
}

std::string worker_program(const std::string& configured) {
  if (!configured.empty()) return configured;
  const char* environment = std::getenv("KILLABLE_WORKER");
  return environment != nullptr ? environment : KILLABLE_WORKER_PATH;
}

}  // namespace

std::string choose_image(const std::string& configured) {
  if (is_before_our_main())
    throw StartError(EDEADLK, std::generic_category(),
                     "cannot start a call from a static initialiser: the worker's image "
                     "would run it again, without end");
  if (os::program_enters_worker()) return "/proc/self/exe";
  const std::string program = worker_program(configured);
  if (::access(program.c_str(), X_OK) == 0) return program;
  throw StartError(errno, std::generic_category(),
                   "cannot start a worker: this program is not linked with "
                   "killable::killable. Link it so, or call killable::init(argc, argv) "
                   "first in main, or install killable-worker (looked for at " +
                       program + "; KILLABLE_WORKER overrides)");
}

}  // namespace killable::spawn
