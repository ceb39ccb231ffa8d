#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <killable/detail/shared_memory.hpp>

#include "channel/mapping.hpp"
#include "os/seqpacket.hpp"
#include "os/unique_fd.hpp"

namespace killable::channel {

/// Zero-filled memory in a memfd of its own, whose size is sealed.
/// Throws std::system_error.
detail::MemoryPtr make_memory(std::uint64_t bytes);

/// Memory that is mapped: what `mapping` maps of `memfd` from `offset`. Without `memfd`
/// it cannot be handed on. Takes both unless it throws.
detail::MemoryPtr adopt_memory(os::UniqueFd&& memfd, Mapping&& mapping,
                               std::uint64_t offset);

/// The host's side: sends all of `memory` by a worker's channel. Throws
/// std::system_error, and CodecError for memory that cannot be handed on: then the
/// worker may have got some.
void hand_over(const os::SeqPacket& channel, std::span<const detail::MemoryPtr> memory);

/// The worker's side: takes what was handed over, mapped and in its order.
/// Throws std::system_error.
std::vector<detail::MemoryPtr> take_over(const os::SeqPacket& channel,
                                         std::uint32_t count);

}  // namespace killable::channel
