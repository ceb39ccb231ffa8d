#pragma once

#include <cstdint>

/// How memory comes to a worker: by a socket of its own, which is a descriptor of Fork.
/// The host writes one HandedMemory for each memory attached to the call, with a memfd,
/// and closes its end before the worker exists: nobody is there for a worker to send to.
/// The worker maps each, and closes the socket before it enters the function.
namespace killable::wire {

/// Descriptor: the memfd that it lies in.
struct HandedMemory {
  std::uint64_t offset;
  std::uint64_t bytes;
};

}  // namespace killable::wire
