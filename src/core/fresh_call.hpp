#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <killable/detail/bytes.hpp>
#include <killable/report.hpp>

#include "core/call.hpp"
#include "core/host_worker.hpp"
#include "core/session.hpp"
#include "os/deadline.hpp"

namespace killable::core {

/// A call with a worker of its own.
///
///   not_started --start()--> running --commit seen---> returned, threw
///                               |------end reported--> killed, timed_out, crashed, exited
///                               +------session lost--> lost
///
/// The state moves when somebody looks: settle() reads the slot's commit word and the
/// session's report, and a commit always wins over the manner of the end.
class FreshCall final : public Call {
 public:
  using Call::Call;
  ~FreshCall() override;

  void start() override;
  void run() override;
  bool join(const os::Deadline& deadline) override;
  pid_t get_id() const override;
  bool request_stop() override;
  void end(wire::EndMode mode, std::chrono::nanoseconds grace) noexcept override;
  State state() noexcept override;
  Report report() override;
  detail::Source result() override;
  bool watch(WaitSet& wait_set) override;

 private:
  /// A call run in this process leaves its result here.
  struct InlineResult {
    detail::HeapSink sink;
    wire::ResultKind kind = wire::ResultKind::value;
  };

  void begin();
  void launch();
  bool try_launch(const std::shared_ptr<Session>& session);
  void adopt(std::shared_ptr<Session> session, HostWorker worker);
  void run_inline();

  State settle();
  void look();
  bool take_commit();
  void take_end(wire::Ended ended);
  void check_bell();
  bool await_outcome(const os::Deadline& deadline);
  void await_ended(const os::Deadline& deadline);
  void violate(const std::string& how);
  void strike() noexcept;
  bool await_last_instruction();
  void let_go() noexcept;
  bool await_reaped(const os::Deadline& deadline);
  Report report_so_far();
  channel::HostSlot::Result slot_result();
  void require_started() const;
  std::string title() const { return Call::title(report_.pid); }

  mutable std::mutex mutex_;  ///< Never held while waiting.
  bool starting_ = false;
  State state_ = State::not_started;
  bool stop_requested_ = false;
  bool is_released_ = false;  ///< The fork server knows that only the reaping is left.
  bool is_doomed_ = false;    ///< This process has sent SIGKILL to a living worker.
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
