#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include <killable/detail/bytes.hpp>
#include <killable/detail/call_handle.hpp>
#include <killable/report.hpp>

#include "channel/inbox.hpp"
#include "channel/slot.hpp"
#include "core/session.hpp"
#include "core/wait_set.hpp"
#include "os/deadline.hpp"
#include "wire/control.hpp"

namespace killable::core {

/// One call, from before its start to the last look at its result: what a handle holds.
/// Thread-safe, but for its destruction, which ends what still runs and waits for that.
///
/// In a child of fork(2) it is the parent's: its state is `lost`, and nothing touches it.
class Call {
 public:
  /// Throws std::invalid_argument for options out of range.
  explicit Call(detail::CallRequest request);
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  virtual void start() = 0;
  virtual void run() = 0;
  /// False: `deadline` came first. Throws std::logic_error if not started.
  virtual bool join(const os::Deadline& deadline) = 0;
  virtual pid_t get_id() const = 0;
  virtual bool request_stop() = 0;
  virtual void end(wire::EndMode mode, std::chrono::nanoseconds grace) noexcept = 0;
  virtual State state() noexcept = 0;
  virtual Report report() = 0;
  virtual detail::Source result() = 0;

  /// Adds what tells that the call may have ended. False: it has.
  virtual bool watch(WaitSet& wait_set) = 0;

  /// Throws StartError if no other process could find the function.
  void check_function_is_reachable() const;

  const std::string& name() const noexcept { return request_.options.name; }
  const Options& options() const noexcept { return request_.options; }
  std::chrono::nanoseconds grace_period() const noexcept;

 protected:
  bool is_elsewhere() const noexcept;
  /// Names the call in errors; `pid` is 0 if it has no process.
  std::string title(pid_t pid) const;

  /// As it goes to a worker that was there before. Its arguments stay where they are.
  channel::OutgoingCall outgoing() const noexcept;
  /// For a worker that has this call alone.
  Session::Request session_request() const noexcept;

  /// `returned` or `threw`. Throws ProtocolViolation if the worker has committed a larger
  /// value than the call may have.
  State state_of(const channel::Committed& committed) const;
  /// What such a call gives its handle: the encoded value, in place. Throws the
  /// exception, if that is what `result` is.
  detail::Source value_of(State state, const channel::HostSlot::Result& result);

  /// A kill outdoes a SIGTERM alone, and of two kills the more impatient one counts: as
  /// in the fork server's ladder.
  void remember_end(wire::EndMode mode, std::chrono::nanoseconds grace) noexcept;

  struct PendingEnd {
    wire::EndMode mode;
    std::chrono::nanoseconds grace;
  };

  detail::CallRequest request_;
  std::optional<PendingEnd> pending_end_;  ///< Asked for while a worker is made for it.

 private:
  /// The bound of the memory that decoding a result may take.
  std::uint64_t memory_budget() const noexcept;

  pid_t owner_;  ///< The process that made this.
};

/// Whether KILLABLE_INLINE asks for all calls to run in this process.
bool is_inline_mode();

}  // namespace killable::core
