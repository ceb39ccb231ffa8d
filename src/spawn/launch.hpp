#pragma once

#include <string>

#include "os/pidfd.hpp"
#include "os/seqpacket.hpp"

namespace killable::spawn {

/// A guard and a fork server that are ready.
struct Launched {
  os::SeqPacket control;
  os::Pidfd guard;
  os::Pidfd fork_server;
};

/// Starts a guard and its fork server by executing `image`, an absolute path, and returns
/// once the fork server has said Hello. Safe in a host with any number of threads, and
/// independent of its size (vfork). Leaves no child of the host behind. Blocks while the
/// image's static initialisers run. Throws StartError.
Launched launch_guard(const std::string& image);

/// The same by a fork(2) of the host itself, with all its memory. Requires a host with
/// one thread: locks that other threads hold would stay locked in the copy.
Launched fork_guard();

}  // namespace killable::spawn
