// The shared object of the foreign host: see CMakeLists.txt.

#include <killable/killable.hpp>

#include <unistd.h>
#include <cstdio>
#include <exception>

namespace {

int add(int a, int b) { return a + b; }
pid_t where() { return getpid(); }

}  // namespace

/// Whether calls of this shared object's own functions work, in a process of their own.
/// `worker_path` is that of killable-worker, if it is to be configured.
extern "C" bool plugin_works(const char* worker_path) {
  try {
    killable::configure({.worker_path = worker_path});
    return killable::call(add, 2, 3) == 5 && killable::call(where) != getpid();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "plugin: %s\n", error.what());
    return false;
  }
}
