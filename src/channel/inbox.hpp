#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <killable/detail/shared_memory.hpp>

#include "channel/mapping.hpp"
#include "os/unique_fd.hpp"
#include "wire/inbox_format.hpp"

namespace killable::channel {

/// A call as it goes to a worker.
struct OutgoingCall {
  std::string_view name;
  std::uint64_t max_result_bytes;
  std::span<const std::byte> arguments;
  bool is_last = true;                               ///< The worker exits after it.
  std::span<const detail::MemoryPtr> attached = {};  ///< Of the SharedArrays among them.
};

/// The inbox of a worker that is there before its call, or for more than one. Not
/// thread-safe.
class HostInbox {
 public:
  /// An empty one, with room for arguments of `capacity` bytes, which costs address space
  /// alone until it is used. Throws std::system_error.
  explicit HostInbox(std::uint64_t capacity);

  int memfd() const noexcept { return memfd_.get(); }
  std::uint64_t bytes() const noexcept { return mapping_.bytes().size(); }
  std::uint64_t capacity() const noexcept {
    return bytes() - wire::kInboxArgumentsOffset;
  }

  os::UniqueFd take_memfd() && noexcept { return std::move(memfd_); }

  /// The worker has it by now.
  void close_memfd() noexcept { memfd_.reset(); }

  /// Hands the worker a call and wakes it. Requires: the arguments fit, and the result of
  /// the call before is in.
  void post(const OutgoingCall& call) noexcept;

  /// How many calls were posted: the number of the last one.
  wire::CallNumber posted() const noexcept { return posted_; }

  /// Whether some arguments were so large that their memory should not stay for long. It
  /// goes with the inbox and with its worker: what is sealed against future writes cannot
  /// be given back in part. See shmem_fallocate() in Linux's mm/shmem.c.
  bool is_swollen() const noexcept;

 private:
  os::UniqueFd memfd_;
  Mapping mapping_;
  wire::CallNumber posted_ = 0;
  std::uint64_t used_ = 0;  ///< By the largest arguments.
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
    bool is_last;
    std::uint32_t attached;  ///< How much memory comes beside them.
  };

  bool has_call(wire::CallNumber number) const noexcept;

  /// Blocks until the host has posted it. Requires: it waits for `number` - 1 no more.
  Call await_call(wire::CallNumber number);

 private:
  const wire::InboxHeader& header() const noexcept;

  Mapping mapping_;
};

}  // namespace killable::channel
