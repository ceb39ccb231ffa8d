#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>

#include "channel/inbox.hpp"
#include "channel/slot.hpp"
#include "os/pidfd.hpp"
#include "os/seqpacket.hpp"
#include "os/unique_fd.hpp"
#include "wire/control.hpp"

namespace killable::core {

/// What a thread watches while it waits for a call's end. Shared by those that wait, so
/// that none polls a number that another has closed.
struct Watch {
  os::UniqueFd bell;
  os::Pidfd pidfd;
};

/// One worker, as the host holds it. What is not needed after the call's end is let go
/// then.
struct HostWorker {
  wire::WorkerId id;
  pid_t pid;
  std::shared_ptr<channel::HostSlot> slot;
  std::optional<channel::HostInbox> inbox;  ///< Of one that was a spare.
  os::SeqPacket channel;
  std::shared_ptr<Watch> watch;

  void request_stop() const noexcept { channel.end_messages(); }
};

}  // namespace killable::core
