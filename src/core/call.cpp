#include "core/call.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <utility>

#include <killable/detail/exception.hpp>
#include <killable/errors.hpp>

#include "core/check_options.hpp"
#include "os/image.hpp"
#include "os/process.hpp"
#include "wire/slot_format.hpp"

namespace killable::core {

namespace {

/// Decoded values are larger than their encoding: nodes, pointers, padding.
constexpr std::uint64_t kMemoryPerResultByte = 8;

}  // namespace

Call::Call(detail::CallRequest request)
    : request_(std::move(request)), owner_(os::this_process()) {
  check_options(request_.options);
  if (request_.options.name.empty()) request_.options.name = default_name();
  constexpr std::size_t kMost = detail::CallMemory::kMaxAttached;
  const std::size_t attached = request_.memory->attached().size();
  if (attached > kMost)
    throw CodecError("cannot pass " + std::to_string(attached) +
                     " SharedArrays to a call: the most is " + std::to_string(kMost));
}

std::chrono::nanoseconds Call::grace_period() const noexcept {
  return os::saturated(request_.options.grace_period);
}

bool Call::is_elsewhere() const noexcept { return owner_ != os::this_process(); }

std::string Call::title(pid_t pid) const {
  std::string title = "call '" + request_.options.name + "'";
  if (pid != 0) title += " (process " + std::to_string(pid) + ")";
  return title;
}

channel::OutgoingCall Call::outgoing() const noexcept {
  return {.name = request_.options.name,
          .max_result_bytes = request_.options.max_result_bytes,
          .arguments = request_.arguments->bytes(),
          .attached = request_.memory->attached()};
}

Session::Request Call::session_request() const noexcept {
  return {.call = outgoing(),
          .spawn = request_.options.start_method == StartMethod::spawn,
          .timeout = request_.options.timeout,
          .grace = grace_period()};
}

State Call::state_of(const channel::Committed& committed) const {
  if (committed.kind != wire::ResultKind::value) return State::threw;
  if (committed.length > request_.options.max_result_bytes)
    throw ProtocolViolation("the worker committed " + std::to_string(committed.length) +
                            " bytes, more than max_result_bytes");
  return State::returned;
}

detail::Source Call::value_of(State state, const channel::HostSlot::Result& result) {
  detail::Source source(result.bytes, memory_budget());
  if (state == State::threw) std::rethrow_exception(detail::decode_exception(source));
  request_.memory->set_slot_arrays(result.arrays);
  source.set_attachments(*request_.memory);
  return source;
}

std::uint64_t Call::memory_budget() const noexcept {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t bytes =
      std::max<std::uint64_t>(request_.options.max_result_bytes, wire::kMinResultBytes);
  return bytes > kMax / kMemoryPerResultByte ? kMax : bytes * kMemoryPerResultByte;
}

void Call::remember_end(wire::EndMode mode, std::chrono::nanoseconds grace) noexcept {
  const bool is_kill = mode == wire::EndMode::kill;
  const bool is_first_kill = !pending_end_ || pending_end_->mode != wire::EndMode::kill;
  if (!pending_end_ || (is_kill && (is_first_kill || grace < pending_end_->grace)))
    pending_end_ = {.mode = mode, .grace = grace};
}

/// With killable-worker as the image, the host's own functions exist in no worker.
void Call::check_function_is_reachable() const {
  if (os::program_enters_worker() || request_.captured) return;
  const auto module =
      os::module_of(reinterpret_cast<std::uintptr_t>(request_.trampoline));
  if (module && module->path.empty())
    throw StartError(
        ENOEXEC, std::generic_category(),
        "cannot start " + request_.options.name +
            ": its function lies in a program that is not linked with "
            "killable::killable and does not call killable::init(argc, argv)");
}

bool is_inline_mode() {
  const char* mode = std::getenv("KILLABLE_INLINE");
  return mode != nullptr && std::strcmp(mode, "1") == 0;
}

}  // namespace killable::core
