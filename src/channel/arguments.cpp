#include "channel/arguments.hpp"

#include <cstring>

#include "os/memfd.hpp"

namespace killable::channel {

os::UniqueFd share_arguments(std::span<const std::byte> arguments) {
  os::UniqueFd memfd = os::create_memfd("the arguments", arguments.size());
  {
    const Mapping mapping(memfd.get(), Mapping::Access::read_write, arguments.size(),
                          "the arguments");
    if (!arguments.empty())
      std::memcpy(mapping.bytes().data(), arguments.data(), arguments.size());
  }
  os::seal_future_writes(memfd.get(), "the arguments");
  return memfd;
}

}  // namespace killable::channel
