#include "os/message_queue.hpp"

#include <fcntl.h>

#include <cerrno>

#include "os/errno_error.hpp"

namespace killable::os {

namespace {

/// The sender may close its own before the queue is flushed.
std::vector<UniqueFd> duplicate(std::span<const int> fds) {
  std::vector<UniqueFd> copies;
  copies.reserve(fds.size());
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
    std::vector<int> fds;
    fds.reserve(next.fds.size());
    for (const UniqueFd& fd : next.fds) fds.push_back(fd.get());
    const SeqPacket::Sent sent = socket_.send(next.bytes, fds);
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
