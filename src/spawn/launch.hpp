#pragma once

#include <string>

#include "os/seqpacket.hpp"

namespace killable::spawn {

/// Starts a guard and its fork server by executing `image`, an absolute path, and returns
/// the control socket once the fork server has said Hello. Safe in a host with any number
/// of threads, and independent of its size (vfork). Leaves no child of the host behind.
/// Blocks while the image's static initialisers run. Throws StartError.
os::SeqPacket launch_guard(const std::string& image);

/// The same by a fork(2) of the host itself, with all its memory. Requires a host with
/// one thread: locks that other threads hold would stay locked in the copy.
os::SeqPacket fork_guard();

}  // namespace killable::spawn
