#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include <boost/container/static_vector.hpp>

#include "os/unique_fd.hpp"

namespace killable::os {

/// One end of a Unix socket pair that keeps message boundaries (SOCK_SEQPACKET): a
/// message arrives whole or not at all, also when its sender is killed while it sends.
/// Messages may carry descriptors. Never blocks, never raises SIGPIPE. See unix(7).
class SeqPacket {
 public:
  SeqPacket() noexcept = default;
  explicit SeqPacket(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  /// Two connected ends. Throws std::system_error.
  static std::pair<SeqPacket, SeqPacket> make_pair();

  enum class Sent { whole, would_block, closed };

  /// Sends `bytes` and copies of at most kMaxFds descriptors as one message.
  /// Throws std::system_error for what is neither a full nor a closed socket.
  Sent send(std::span<const std::byte> bytes, std::span<const int> fds = {}) const;

  static constexpr std::size_t kMaxFds = 4;
  /// So many at most, without the heap: to run out of memory would be to lose a message.
  using Fds = boost::container::static_vector<UniqueFd, kMaxFds>;

  struct Received {
    enum class Status { message, would_block, closed };
    Status status = Status::would_block;
    std::size_t size = 0;  ///< Bytes written to the buffer.
    Fds fds;               ///< Close-on-exec.
  };

  /// Takes the next message. One that does not fit into `buffer` counts as closed: no
  /// peer that keeps the protocol sends it. Throws std::system_error.
  Received receive(std::span<std::byte> buffer) const;

  int get() const noexcept { return fd_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  UniqueFd take() && noexcept { return std::move(fd_); }
  void reset() noexcept { fd_.reset(); }

  /// Lets the peer's sends fail from now on, so that nothing it sends, descriptors
  /// included, can pile up here. See shutdown(2), SHUT_RD.
  void refuse_messages() const;

  /// The peer gets what was sent, and then sees that nothing follows: POLLRDHUP. See
  /// shutdown(2), SHUT_WR.
  void end_messages() const noexcept;

  /// Ends the connection for every holder of either end, while the number stays taken.
  void hang_up() const noexcept;

 private:
  UniqueFd fd_;
};

}  // namespace killable::os
