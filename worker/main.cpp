#include <cstdio>
#include <cstdlib>

#include "worker/entry.hpp"

/// killable-worker: the image of guard, fork server and workers for hosts whose own
/// program cannot be that. Its functions come from shared objects that it loads on
/// demand.
int main(int argc, char** argv) {
  killable::worker::enter_if_ours(argc, argv);
  std::fputs("killable-worker is started by programs that use libkillable, not by hand\n",
             stderr);
  return EXIT_FAILURE;
}
