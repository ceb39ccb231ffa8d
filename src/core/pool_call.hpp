#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <boost/intrusive/list_hook.hpp>

#include <killable/detail/bytes.hpp>

#include "core/call.hpp"
#include "os/deadline.hpp"
#include "wire/slot_format.hpp"

namespace killable::core {

class Pool;
struct PoolWorker;

/// Of arguments or of a result: to copy more takes longer than others should wait for the
/// pool's lock.
inline constexpr std::size_t kLongBytes = std::size_t{1} << 20;

/// How a pool's call has ended. Copies share the bytes.
struct PoolOutcome {
  State state = State::running;
  Report report = {};
  std::shared_ptr<const detail::HeapSink> bytes = {};  ///< returned, threw
  detail::MemoryPtr arrays = {};  ///< That the worker made, if there are any.
  std::exception_ptr failure =
      {};  ///< No worker was to be had, or it broke the protocol.
};

std::shared_ptr<const detail::HeapSink> copy_of_bytes(std::span<const std::byte> bytes);

/// A call that was given to a pool: what its handle holds. The pool knows it from submit
/// to its end, which the destructor waits for: see Pool on who may hold it until when.
class PoolCall final : public Call {
 public:
  PoolCall(detail::CallRequest request, std::shared_ptr<Pool> pool);
  ~PoolCall() override;

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
  friend class Pool;
  friend class PoolQueue;

  /// For the pool, which takes it under its lock.
  const detail::CallRequest& request() const noexcept { return request_; }
  std::string title() const { return Call::title(pid_); }
  /// Which goes by the worker's channel, and cannot be taken back.
  bool has_memory() const noexcept { return !request_.memory->attached().empty(); }
  /// Whether it is none for a worker that serves other calls, which have `defaults`.
  bool needs_own_worker(const Options& defaults) const noexcept;
  bool has_long_arguments() const noexcept {
    return request_.arguments->size() >= kLongBytes;
  }
  bool has_ended() const noexcept {
    return phase_ == Phase::struck || phase_ == Phase::done;
  }
  /// And not the pool's own, an initializer.
  bool is_users() const noexcept { return pool_ != nullptr; }

  enum class Phase {
    queued,
    running,
    struck,  ///< Killed, and none of its code can run any more; its report is to come.
    done,
  };

  std::shared_ptr<Pool> pool_;

  // Guarded by the pool's lock; once the phase is done, fixed.
  Phase phase_ = Phase::done;                   ///< Until the pool has taken it.
  boost::intrusive::list_member_hook<> place_;  ///< In the PoolQueue, while queued.
  PoolWorker* worker_ = nullptr;                ///< While running or struck.
  pid_t pid_ = 0;
  int attempts_ = 0;  ///< Workers that died before they had entered it.
  bool stop_requested_ = false;
  PoolOutcome outcome_;
  os::Clock::time_point submitted_at_ = os::Clock::now();
  os::Clock::time_point started_at_{};
};

}  // namespace killable::core
