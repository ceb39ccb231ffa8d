#pragma once

#include <deque>
#include <span>
#include <vector>

#include "os/seqpacket.hpp"

namespace killable::os {

/// Sends messages in order without ever blocking: what the socket does not take at once
/// waits here until flush(). Not thread-safe.
class MessageQueue {
 public:
  MessageQueue() noexcept = default;
  explicit MessageQueue(SeqPacket socket) noexcept : socket_(std::move(socket)) {}

  /// Sends or queues `bytes` with copies of `fds`. False: the peer has closed.
  bool send(std::span<const std::byte> bytes, std::span<const int> fds = {});

  /// Sends what the socket takes by now. False: the peer has closed.
  bool flush();

  bool has_queued() const noexcept { return !queued_.empty(); }
  const SeqPacket& socket() const noexcept { return socket_; }
  void close() noexcept;

 private:
  struct Message {
    std::vector<std::byte> bytes;
    SeqPacket::Fds fds;
  };

  SeqPacket socket_;
  std::deque<Message> queued_;
};

}  // namespace killable::os
