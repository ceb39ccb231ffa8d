#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "channel/mapping.hpp"
#include "os/unique_fd.hpp"
#include "wire/inbox_format.hpp"

namespace killable::channel {

/// A call as it goes to a worker.
struct OutgoingCall {
  std::string_view name;
  std::uint64_t max_result_bytes;
  std::span<const std::byte> arguments;
};

/// The inbox of a worker that is there before its call. Not thread-safe.
class HostInbox {
 public:
  /// An empty one, with room for arguments of kCapacity bytes. Throws std::system_error.
  HostInbox();

  /// Room costs address space alone, until it is used.
  static constexpr std::uint64_t kCapacity = (std::uint64_t{1} << 20) - 4096;

  int memfd() const noexcept { return memfd_.get(); }
  std::uint64_t bytes() const noexcept { return mapping_.bytes().size(); }

  /// The worker has it by now.
  void close_memfd() noexcept { memfd_.reset(); }

  /// Hands the worker its one call and wakes it. Requires: its arguments fit.
  void post(const OutgoingCall& call) noexcept;

 private:
  os::UniqueFd memfd_;
  Mapping mapping_;
};

/// The inbox of a worker that is made for this call. Throws std::system_error.
os::UniqueFd make_filled_inbox(const OutgoingCall& call);

/// What make_filled_inbox() makes takes so much.
std::uint64_t filled_inbox_bytes(const OutgoingCall& call) noexcept;

/// The worker's side.
class WorkerInbox {
 public:
  WorkerInbox(int memfd, std::uint64_t bytes);

  struct Call {
    std::string name;
    std::uint64_t max_result_bytes;
    std::span<const std::byte> arguments;  ///< In place.
  };

  bool has_call() const noexcept;

  /// Blocks until the host has posted it.
  Call await_call() const;

 private:
  const wire::InboxHeader& header() const noexcept;

  Mapping mapping_;
};

}  // namespace killable::channel
