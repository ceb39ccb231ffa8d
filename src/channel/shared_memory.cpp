#include "channel/shared_memory.hpp"

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include <killable/errors.hpp>

#include "os/errno_error.hpp"
#include "os/memfd.hpp"
#include "wire/channel_format.hpp"

namespace killable::channel {

namespace {

constexpr char kWhat[] = "a SharedArray";

struct MappedMemory : detail::SharedMemory {
  MappedMemory(os::UniqueFd file, Mapping view, std::uint64_t begin)
      : SharedMemory{.bytes = view.bytes(), .memfd = file.get(), .offset = begin},
        owned_file(std::move(file)),
        owned_view(std::move(view)) {}

  os::UniqueFd owned_file;
  Mapping owned_view;
};

void hand_over(const os::SeqPacket& channel, const detail::SharedMemory& memory) {
  if (memory.memfd == -1)
    throw CodecError(
        "cannot pass a SharedArray to a call that a worker starts: it was made by that "
        "worker, or passed to it");
  const std::array message{
      wire::HandedMemory{.offset = memory.offset, .bytes = memory.bytes.size()}};
  if (channel.send(std::as_bytes(std::span(message)), std::array{memory.memfd}) !=
      os::SeqPacket::Sent::whole)
    os::throw_errno(ENOBUFS, std::string("hand over ") + kWhat);
}

detail::MemoryPtr take_over(const os::SeqPacket& channel) {
  std::array<wire::HandedMemory, 1> message;
  const os::SeqPacket::Received received =
      channel.receive(std::as_writable_bytes(std::span(message)));
  // The host has sent all of it. What was lost on the way is the descriptor.
  if (received.size != sizeof message || received.fds.size() != 1)
    os::throw_errno(EMFILE, std::string("receive ") + kWhat);
  return adopt_memory({},
                      Mapping(received.fds[0].get(), Mapping::Access::read_write,
                              message[0].bytes, kWhat, message[0].offset),
                      message[0].offset);
}

}  // namespace

detail::MemoryPtr make_memory(std::uint64_t bytes) {
  os::UniqueFd memfd = os::create_memfd(kWhat, bytes);
  os::seal(memfd.get(), os::Seals::size, kWhat);
  Mapping mapping(memfd.get(), Mapping::Access::read_write, bytes, kWhat);
  return adopt_memory(std::move(memfd), std::move(mapping), 0);
}

detail::MemoryPtr adopt_memory(os::UniqueFd&& memfd, Mapping&& mapping,
                               std::uint64_t offset) {
  return std::make_shared<MappedMemory>(std::move(memfd), std::move(mapping), offset);
}

void hand_over(const os::SeqPacket& channel, std::span<const detail::MemoryPtr> memory) {
  for (const detail::MemoryPtr& each : memory) hand_over(channel, *each);
}

std::vector<detail::MemoryPtr> take_over(const os::SeqPacket& channel,
                                         std::uint32_t count) {
  std::vector<detail::MemoryPtr> memory;
  while (memory.size() != count) memory.push_back(take_over(channel));
  return memory;
}

}  // namespace killable::channel
