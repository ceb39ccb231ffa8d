#include "os/seqpacket.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "os/errno_error.hpp"

namespace killable::os {

namespace {

constexpr std::size_t kFdBytes = sizeof(int) * SeqPacket::kMaxFds;

/// Room for one SCM_RIGHTS message, aligned as cmsg(3) asks.
struct alignas(cmsghdr) ControlBuffer {
  std::byte bytes[CMSG_SPACE(kFdBytes)];
};

msghdr make_header(iovec& data, ControlBuffer& control, std::size_t control_size) {
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control_size == 0 ? nullptr : control.bytes;
  header.msg_controllen = control_size;
  return header;
}

/// Takes ownership of every descriptor in every control message, asked for or not.
SeqPacket::Fds take_fds(msghdr& header) {
  SeqPacket::Fds fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

std::pair<SeqPacket, SeqPacket> SeqPacket::make_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1)
    throw_errno(errno, "make a socketpair");
  return {SeqPacket(UniqueFd(fds[0])), SeqPacket(UniqueFd(fds[1]))};
}

SeqPacket::Sent SeqPacket::send(std::span<const std::byte> bytes,
                                std::span<const int> fds) const {
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  ControlBuffer control{};
  msghdr header =
      make_header(data, control, fds.empty() ? 0 : CMSG_SPACE(fds.size_bytes()));
  if (!fds.empty()) {
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  const ssize_t sent = retry_on_eintr(
      [&] { return ::sendmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (sent >= 0) return Sent::whole;
  if (errno == EAGAIN || errno == EWOULDBLOCK) return Sent::would_block;
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return Sent::closed;
  throw_errno(errno, "send " + std::to_string(bytes.size()) + " bytes and " +
                         std::to_string(fds.size()) + " descriptors");
}

SeqPacket::Received SeqPacket::receive(std::span<std::byte> buffer) const {
  iovec data{.iov_base = buffer.data(), .iov_len = buffer.size()};
  ControlBuffer control{};
  msghdr header = make_header(data, control, sizeof control.bytes);
  const ssize_t size = retry_on_eintr(
      [&] { return ::recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  using Status = Received::Status;
  if (size == -1) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Status::would_block, 0, {}};
    if (errno == ECONNRESET) return {Status::closed, 0, {}};
    throw_errno(errno, "receive a message");
  }
  Received received{.status = Status::message,
                    .size = static_cast<std::size_t>(size),
                    .fds = take_fds(header)};
  if (size == 0 || (header.msg_flags & MSG_TRUNC) != 0) received.status = Status::closed;
  return received;
}

void SeqPacket::refuse_messages() const {
  if (::shutdown(fd_.get(), SHUT_RD) == -1)
    throw_errno(errno, "shut a socket for reading");
}

void SeqPacket::end_messages() const noexcept { ::shutdown(fd_.get(), SHUT_WR); }

void SeqPacket::hang_up() const noexcept { ::shutdown(fd_.get(), SHUT_RDWR); }

}  // namespace killable::os
