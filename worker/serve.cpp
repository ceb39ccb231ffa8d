#include "worker/serve.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <optional>
#include <string>

#include <killable/detail/exception.hpp>
#include <killable/detail/function_ref.hpp>
#include <killable/detail/worker_call.hpp>

#include "channel/bell.hpp"
#include "channel/mapping.hpp"
#include "channel/slot.hpp"
#include "os/deadline.hpp"
#include "os/errno_error.hpp"
#include "os/fault.hpp"
#include "os/seqpacket.hpp"
#include "wire/call_format.hpp"
#include "wire/exec_format.hpp"
#include "worker/interruption.hpp"
#include "worker/standard_streams.hpp"
#include "worker/title.hpp"

namespace killable::worker {

namespace {

using os::Fault;

struct ReceivedCall {
  wire::Call call;
  channel::Mapping arguments;
};

/// Waits for the call. Empty: the host has dropped this worker unused.
std::optional<ReceivedCall> receive_call(const os::SeqPacket& channel) {
  using Status = os::SeqPacket::Received::Status;
  std::array<std::byte, wire::kMaxCallBytes> buffer;
  for (;;) {
    const os::SeqPacket::Received received = channel.receive(buffer);
    if (received.status == Status::closed) return std::nullopt;
    if (received.status == Status::would_block) {
      std::array<pollfd, 1> fd{
          pollfd{.fd = channel.get(), .events = POLLIN, .revents = 0}};
      os::poll_until(fd, os::Deadline::never());
      continue;
    }
    const auto call = wire::parse<wire::Call>(std::span(buffer).first(received.size));
    if (!call) continue;  // A Stop that came before its call.
    if (received.fds.size() != 1) os::throw_errno(EMFILE, "receive the arguments");
    return ReceivedCall{*call, channel::Mapping(received.fds[0].get(),
                                                channel::Mapping::Access::read_only,
                                                call->arguments_bytes, "the arguments")};
  }
}

/// The worker's side of the WorkerCall that the trampoline is handed.
class Service {
 public:
  Service(wire::WorkerId id, channel::WorkerSlot& slot, const ReceivedCall& received);

  void run();
  /// Commits the exception that is being handled, from before or outside the trampoline.
  void commit_current_exception();

 private:
  static Service& of(void* context) { return *static_cast<Service*>(context); }
  void enter(detail::Entry entry);
  void commit(wire::ResultKind kind, const detail::Sink& sink);

  wire::WorkerId id_;
  channel::WorkerSlot& slot_;
  detail::Source arguments_;
  detail::FixedSink value_sink_;
  detail::FixedSink exception_sink_;
  detail::WorkerCall call_;
};

Service::Service(wire::WorkerId id, channel::WorkerSlot& slot,
                 const ReceivedCall& received)
    : id_(id),
      slot_(slot),
      // The host is trusted; its arguments may take what memory there is.
      arguments_(received.arguments.bytes(), std::numeric_limits<std::uint64_t>::max()),
      value_sink_(slot.result_memory().first(std::min<std::uint64_t>(
          received.call.max_result_bytes, slot.result_memory().size()))),
      exception_sink_(slot.result_memory()) {
  call_.context = this;
  call_.arguments = &arguments_;
  call_.value_sink = &value_sink_;
  call_.exception_sink = &exception_sink_;
  call_.enter = [](void* self, detail::Entry entry) { of(self).enter(entry); };
  call_.leave = [](void*) { interruption::leave(); };
  call_.commit_value = [](void* self) {
    of(self).commit(wire::ResultKind::value, of(self).value_sink_);
  };
  call_.commit_exception = [](void* self) {
    of(self).commit(wire::ResultKind::exception, of(self).exception_sink_);
  };
  call_.end_unwound = [](void*) { interruption::end_unwound(); };
  call_.stop_token = [](void*) { return interruption::stop_token(); };
}

void Service::run() {
  try {
    const auto trampoline =
        reinterpret_cast<detail::Trampoline>(detail::decode_function(arguments_));
    trampoline(call_);
  } catch (...) {
    commit_current_exception();
  }
}

void Service::commit_current_exception() {
  exception_sink_.clear();
  detail::encode_current_exception(exception_sink_);
  commit(wire::ResultKind::exception, exception_sink_);
}

void Service::enter(detail::Entry entry) {
  os::fault_point(Fault::worker_before_entry);
  const std::uint64_t now = os::monotonic_ns();
  [[maybe_unused]] const ssize_t written = ::write(wire::kEntryFd, &now, sizeof now);
  ::close(wire::kEntryFd);
  interruption::enter(entry);
}

void Service::commit(wire::ResultKind kind, const detail::Sink& sink) {
  if (call_.committed) return;
  // Who has seen the result has seen the output that came before it.
  flush_standard_streams();
  call_.committed = true;
  os::fault_point(Fault::worker_before_commit);
  slot_.commit(id_, kind, sink.size());
  os::fault_point(Fault::worker_after_commit);
  channel::ring(wire::kBellFd);
  os::fault_point(Fault::worker_after_bell);
}

/// Commits `error` in place of a result and exits. Asks for little memory: that may be
/// what is short.
[[noreturn]] void fail_call(wire::WorkerId id, const StartError& error) noexcept {
  constexpr std::uint64_t kErrorBytes = std::uint64_t{64} << 10;
  static_assert(kErrorBytes <= wire::kMinResultBytes);
  try {
    channel::WorkerSlot slot(wire::kSlotFd, wire::kSlotResultOffset + kErrorBytes);
    detail::FixedSink sink(slot.result_memory());
    try {
      throw StartError(error);
    } catch (...) {
      detail::encode_current_exception(sink);
    }
    slot.commit(id, wire::ResultKind::exception, sink.size());
    channel::ring(wire::kBellFd);
  } catch (...) {
  }
  ::_exit(kCannotServe);
}

channel::WorkerSlot map_slot(wire::WorkerId id, std::uint64_t slot_bytes) {
  try {
    return {wire::kSlotFd, slot_bytes};
  } catch (const std::system_error& error) {
    refuse_call(id, StartError(error.code(), os::attempt_of(error)));
  }
}

[[noreturn]] void serve(wire::WorkerId id, std::uint64_t slot_bytes) {
  set_title("killable-spare", "killable: spare worker");
  channel::WorkerSlot slot = map_slot(id, slot_bytes);
  const os::SeqPacket channel{os::UniqueFd(wire::kChannelFd)};
  interruption::install(channel.get());
  // While nobody waits for it, a spare takes the page faults that its call would take.
  slot.touch();
  flush_standard_streams();
  const std::optional<ReceivedCall> received = receive_call(channel);
  if (!received) ::_exit(0);
  os::fault_point(Fault::worker_before_call);
  ::close(wire::kSlotFd);
  set_title(received->call.name, std::string("killable: ") + received->call.name);
  Service(id, slot, *received).run();
  flush_standard_streams();
  // Not through destructors: they would have to outlive the function's own threads.
  ::_exit(0);
}

}  // namespace

void serve_one_call(wire::WorkerId id, std::uint64_t slot_bytes) noexcept {
  try {
    serve(id, slot_bytes);
  } catch (const std::system_error& error) {
    fail_call(id, StartError(error.code(), os::attempt_of(error)));
  } catch (const std::exception&) {
    fail_call(id, StartError(ENOMEM, std::generic_category(), "cannot serve the call"));
  }
}

// A spare that died would not tell the host what is short.
void refuse_call(wire::WorkerId id, const StartError& error) noexcept {
  try {
    std::array<pollfd, 1> fd{
        pollfd{.fd = wire::kChannelFd, .events = POLLIN, .revents = 0}};
    while (os::poll_until(fd, os::Deadline::never()) == 0) {
    }
  } catch (const std::exception&) {
  }
  fail_call(id, error);
}

}  // namespace killable::worker
