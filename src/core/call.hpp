#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include <killable/detail/bytes.hpp>
#include <killable/detail/call_handle.hpp>
#include <killable/report.hpp>

#include "core/host_worker.hpp"
#include "core/session.hpp"
#include "os/deadline.hpp"

namespace killable::core {

/// One call, from before its start to the last look at its result. Thread-safe, but for
/// its destruction.
///
///   not_started --start()--> running --commit seen---> returned, threw
///                               |------end reported--> killed, timed_out, crashed,
///                               exited
///                               +------session lost--> lost
///
/// The state moves when somebody looks: settle() reads the slot's commit word and the
/// session's report, and a commit always wins over the manner of the end.
class Call {
 public:
  explicit Call(detail::CallRequest request);
  /// Ends what still runs, and waits for that.
  ~Call();

  void start();
  void run();
  /// False: `deadline` came first. Throws std::logic_error if not started.
  bool join(const os::Deadline& deadline);
  pid_t get_id() const;
  const std::string& name() const noexcept { return request_.options.name; }
  bool request_stop();
  void end(wire::EndMode mode, std::chrono::nanoseconds grace) noexcept;
  std::chrono::nanoseconds grace_period() const noexcept;
  State state() noexcept;
  Report report();
  detail::Source result();

  /// Waits until one of `calls` may have ended, or `deadline`; callers look and loop.
  static void await_news(std::span<Call* const> calls, const os::Deadline& deadline);

 private:
  /// A call run in this process leaves its result here.
  struct InlineResult {
    detail::HeapSink sink;
    wire::ResultKind kind = wire::ResultKind::value;
  };

  void begin();
  void launch();
  bool try_launch(const std::shared_ptr<Session>& session);
  void started(std::shared_ptr<Session> session, HostWorker worker);
  void run_inline();
  void remember_end(const wire::End& end) noexcept;

  /// What a waiting thread needs of a running call.
  struct Interest {
    wire::WorkerId worker;
    std::shared_ptr<Session> session;
    std::shared_ptr<const Watch> watch;
    bool heeds_bell;
  };
  std::optional<Interest> interest();

  State settle();
  void look();
  bool take_commit();
  void take_end(const wire::Ended& ended);
  void check_bell();
  void violate(const std::string& how);
  void await_reaped();
  void require_started() const;
  bool is_elsewhere() const noexcept;
  std::string title() const;

  detail::CallRequest request_;
  pid_t owner_;  ///< The process that made this; a forked copy must not touch the call.

  mutable std::mutex mutex_;  ///< Never held while waiting.
  bool starting_ = false;
  State state_ = State::not_started;
  std::optional<wire::End> pending_end_;  ///< Asked for while start() was at work.
  bool stop_requested_ = false;
  std::shared_ptr<Session> session_;
  std::optional<HostWorker> worker_;
  std::optional<channel::Committed> committed_;
  std::optional<std::string> violation_;
  std::unique_ptr<InlineResult> inline_result_;
  Report report_;        ///< Complete once reaped_.
  bool reaped_ = false;  ///< Or there is nothing to reap.
  std::uint64_t started_at_ns_ = 0;
};

}  // namespace killable::core
