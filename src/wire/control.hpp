#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

/// Messages between the host and the fork server, over one SOCK_SEQPACKET socket that no
/// worker has. Both ends are the same build of this library, so a message is its struct.
///
///   host -> fork server               fork server -> host
///   Fork   + four descriptors         Guarded + pidfd, Hello + pidfd
///   Arm                               Forked + pidfd  |  ForkFailed
///   Disarm                            Disarmed
///   End                               Ended
///
/// Every message names its worker by an id that the host gives out once and never again,
/// so what is late can be told from what is current.
namespace killable::wire {

using WorkerId = std::uint64_t;

enum class ControlType : std::uint32_t {
  fork = 1,
  arm,
  disarm,
  end,
  guarded,
  hello,
  forked,
  fork_failed,
  disarmed,
  ended,
};

/// Asks for a worker. Descriptors: slot, inbox, bell, the worker's end of the channel.
struct Fork {
  static constexpr auto kType = ControlType::fork;
  ControlType type = kType;
  std::uint32_t spawn;  ///< 1: a fresh exec of the image, 0: a fork.
  WorkerId worker;
  std::uint64_t slot_bytes;
  std::uint64_t inbox_bytes;
  std::int64_t timeout_ns;  ///< Of the call in the inbox, from entry on; or kNoTimeout.
  std::int64_t grace_ns;
};

inline constexpr std::int64_t kNoTimeout = -1;

/// When the clock of a timeout starts.
enum class TimeoutFrom : std::uint32_t {
  entry = 1,  ///< As the worker enters its first function.
  now,        ///< For a later call, of a worker that waits for it.
};

/// Limits the worker's call to `timeout_ns`.
struct Arm {
  static constexpr auto kType = ControlType::arm;
  ControlType type = kType;
  TimeoutFrom from;
  WorkerId worker;
  std::int64_t timeout_ns;
  std::int64_t grace_ns;
};

/// Takes a timeout back that has not struck. The answer is Disarmed, or Ended if it has:
/// until one has come, the worker gets no other call.
struct Disarm {
  static constexpr auto kType = ControlType::disarm;
  ControlType type = kType;
  std::uint32_t padding = 0;
  WorkerId worker;
};

/// How far End goes.
enum class EndMode : std::uint32_t {
  terminate = 1,  ///< SIGTERM only.
  kill,           ///< SIGTERM, and SIGKILL to the tree after the grace period.
  release,        ///< No SIGTERM: the result is in; SIGKILL after the grace period.
};

struct End {
  static constexpr auto kType = ControlType::end;
  ControlType type = kType;
  EndMode mode;
  WorkerId worker;
  std::int64_t grace_ns;
};

/// The guard exists: sent by the process that forked it. Descriptor: its pidfd. May come
/// after Hello.
struct Guarded {
  static constexpr auto kType = ControlType::guarded;
  ControlType type = kType;
};

/// The fork server is ready. Descriptor: its pidfd.
struct Hello {
  static constexpr auto kType = ControlType::hello;
  ControlType type = kType;
};

/// The worker exists. Descriptor: its pidfd.
struct Forked {
  static constexpr auto kType = ControlType::forked;
  ControlType type = kType;
  std::int32_t pid;
  WorkerId worker;
};

/// There is no such worker; or, from a guard to its launcher, no fork server: worker 0.
struct ForkFailed {
  static constexpr auto kType = ControlType::fork_failed;
  ControlType type = kType;
  std::int32_t error;  ///< An errno(3) value.
  WorkerId worker;
};

/// The worker has no timeout any more.
struct Disarmed {
  static constexpr auto kType = ControlType::disarmed;
  ControlType type = kType;
  std::uint32_t padding = 0;
  WorkerId worker;
};

/// Which step of ours, if any, came before the worker's end.
enum class EndedBy : std::uint32_t {
  itself = 1,
  terminate,  ///< Our SIGTERM alone had been sent.
  kill,
  timeout,
  release,
};

/// The worker and all its descendants are gone.
struct Ended {
  static constexpr auto kType = ControlType::ended;
  ControlType type = kType;
  EndedBy by;
  WorkerId worker;
  std::int32_t code;    ///< siginfo_t::si_code: CLD_EXITED, CLD_KILLED, CLD_DUMPED.
  std::int32_t status;  ///< siginfo_t::si_status: exit code or signal.
  std::uint64_t entered_at_ns;  ///< CLOCK_MONOTONIC; 0: the function was not entered.
  std::uint64_t ended_at_ns;
  std::uint64_t user_cpu_ns;
  std::uint64_t system_cpu_ns;
  std::uint64_t max_rss_bytes;
};

/// Large enough for every message above.
inline constexpr std::size_t kMaxControlBytes = 128;
static_assert(sizeof(Ended) <= kMaxControlBytes);

/// The message as an M; empty unless both its type and its exact size say so.
template <class M>
std::optional<M> parse(std::span<const std::byte> message) noexcept {
  static_assert(std::is_trivially_copyable_v<M>);
  if (message.size() != sizeof(M)) return std::nullopt;
  M parsed{};
  std::memcpy(&parsed, message.data(), sizeof parsed);
  return parsed.type == M::kType ? std::optional(parsed) : std::nullopt;
}

template <class M>
std::span<const std::byte> bytes_of(const M& message) noexcept {
  static_assert(std::has_unique_object_representations_v<M>,
                "padding would carry this process's memory to the other");
  return std::as_bytes(std::span(&message, 1));
}

}  // namespace killable::wire
