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
  wire::Afterwards afterwards = wire::Afterwards::exit;
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

  /// Writes down a call; publish() lets the worker have it. Requires: the arguments fit,
  /// and fewer than kRing calls are added but not taken.
  void add(const OutgoingCall& call) noexcept;

  /// Whether the worker is to spin a moment for the call after those that are published:
  /// it will come soon.
  enum class Next { soon, later };

  /// Lets the worker start what was added, and wakes it.
  void publish(Next next = Next::later) noexcept;

  void post(const OutgoingCall& call) noexcept {
    add(call);
    publish();
  }

  enum class Wake { nobody, worker };

  /// The result of the next call is in. The worker may be waiting for that, if the result
  /// was larger than a cell.
  void take(Wake wake) noexcept;

  /// Takes back the calls from `number` on that the worker has not started: ask its slot
  /// after this, and restore() what it was if it has.
  void withdraw(wire::CallNumber number) noexcept;
  void restore(wire::CallNumber last) noexcept;

  /// The numbers of the calls that were added and taken last.
  wire::CallNumber last() const noexcept { return last_; }
  wire::CallNumber taken() const noexcept { return taken_; }

  /// Whether a call with arguments of so many bytes can follow those that are there.
  bool has_room_for(std::uint64_t bytes) const noexcept;

  /// Whether some arguments were so large that their memory should not stay for long. It
  /// goes with the inbox and with its worker: what is sealed against future writes cannot
  /// be given back in part. See shmem_fallocate() in Linux's mm/shmem.c.
  bool is_swollen() const noexcept;

 private:
  os::UniqueFd memfd_;
  Mapping mapping_;
  wire::InboxHeader& header() const noexcept;

  wire::CallNumber last_ = 0;
  wire::CallNumber taken_ = 0;
  std::uint64_t end_ = wire::kInboxArgumentsOffset;  ///< Of the last call's arguments.
  std::uint64_t used_ = 0;                           ///< At most, at any time.
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
    wire::Afterwards afterwards;
    std::uint32_t attached;  ///< How much memory comes beside them.
  };

  /// Whether the host has posted it, and has not taken it back.
  bool has_call(wire::CallNumber number) const noexcept;

  /// Blocks until has_call().
  void await_call(wire::CallNumber number) const noexcept;

  /// Requires: the call is there, and the host does not take it back any more.
  Call call(wire::CallNumber number);

  /// Blocks until the host has the result of call `number`.
  void await_taken(wire::CallNumber number) const noexcept;

 private:
  const wire::InboxHeader& header() const noexcept;

  Mapping mapping_;
};

}  // namespace killable::channel
