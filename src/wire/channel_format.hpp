#pragma once

#include <cstdint>

/// What goes by a worker's channel, a SOCK_SEQPACKET pair of host and worker alone.
///
/// The host sends one HandedMemory for each memory that is attached to a call, and then
/// posts the call. The worker takes and maps them before it enters the function. After
/// the last message comes the end of messages (shutdown(2), SHUT_WR), at any time: it
/// requests a stop of the current call, which is then the worker's last. The worker's
/// stop thread sees that as POLLRDHUP, whatever messages there are; see poll(2).
///
/// The host's end refuses messages, and only ever sends without waiting: a worker can
/// neither send anything nor keep the host from going on.
namespace killable::wire {

/// Descriptor: the memfd that it lies in.
struct HandedMemory {
  std::uint64_t offset;
  std::uint64_t bytes;
};

}  // namespace killable::wire
