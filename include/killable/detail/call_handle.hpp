#pragma once

#include <sys/types.h>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <killable/detail/bytes.hpp>
#include <killable/detail/shared_memory.hpp>
#include <killable/detail/worker_call.hpp>
#include <killable/options.hpp>
#include <killable/report.hpp>

namespace killable::core {
class Call;
}

/// The compiled core under the typed KillableThread.
namespace killable::detail {

/// A call as bytes.
struct CallRequest {
  Options options;
  /// The trampoline's name, the callable and the arguments, encoded.
  std::unique_ptr<HeapSink> arguments;
  /// Of the SharedArrays among them.
  std::unique_ptr<CallMemory> memory;
  Trampoline trampoline = nullptr;
  /// What a call by forked() has captured; only a fork of this process can run it.
  std::shared_ptr<void> captured;
};

/// What KillableThread does, without its type. Move-only; a moved-from handle may only be
/// destroyed or assigned to. See KillableThread for what each function does.
class CallHandle {
 public:
  /// Throws std::invalid_argument for options out of range.
  explicit CallHandle(CallRequest request);
  /// Of a call that is made elsewhere.
  explicit CallHandle(std::shared_ptr<core::Call> call);
  CallHandle(CallHandle&&) noexcept;
  CallHandle& operator=(CallHandle&&) noexcept;
  ~CallHandle();

  void start();
  void run();
  void join();
  bool join(std::chrono::nanoseconds timeout);
  pid_t get_id() const;
  const std::string& name() const noexcept;
  bool request_stop();
  void raise_exception() noexcept;
  void kill() noexcept;
  void kill(std::chrono::milliseconds grace_period) noexcept;
  State state() const noexcept;
  Report report() const;

  /// Waits for the end. The encoded value, in place, if the call returned; else throws
  /// what it ended with. The bytes live as long as this handle.
  Source result() const;

 private:
  friend std::optional<std::size_t> wait_any_of(
      std::span<const CallHandle* const> handles,
      std::optional<std::chrono::nanoseconds> timeout);

  std::shared_ptr<core::Call> call_;
};

/// The index of a call that has ended, or empty if `timeout` passed first or there are
/// none.
std::optional<std::size_t> wait_any_of(std::span<const CallHandle* const> handles,
                                       std::optional<std::chrono::nanoseconds> timeout);

}  // namespace killable::detail
