#include "os/message_queue.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "os/errno_error.hpp"

namespace killable::os {

namespace {

/// The sender may close its own before the queue is flushed.
SeqPacket::Fds duplicate(std::span<const int> fds) {
  SeqPacket::Fds copies;
  for (const int fd : fds) {
    copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!copies.back()) throw_errno(errno, "duplicate a descriptor to send");
  }
  return copies;
}

}  // namespace

bool MessageQueue::send(std::span<const std::byte> bytes, std::span<const int> fds) {
  if (queued_.empty()) {
    const SeqPacket::Sent sent = socket_.send(bytes, fds);
    if (sent != SeqPacket::Sent::would_block) return sent == SeqPacket::Sent::whole;
  }
  queued_.push_back({{bytes.begin(), bytes.end()}, duplicate(fds)});
  return true;
}

bool MessageQueue::flush() {
  while (!queued_.empty()) {
    const Message& next = queued_.front();
    std::array<int, SeqPacket::kMaxFds> fds{};
    std::ranges::transform(next.fds, fds.begin(), &UniqueFd::get);
    const SeqPacket::Sent sent =
        socket_.send(next.bytes, std::span(fds).first(next.fds.size()));
    if (sent != SeqPacket::Sent::whole) return sent == SeqPacket::Sent::would_block;
    queued_.pop_front();
  }
  return true;
}

void MessageQueue::close() noexcept {
  queued_.clear();
  socket_.reset();
}

}  // namespace killable::os
