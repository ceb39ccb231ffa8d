#include "worker/serve.hpp"

#include <unistd.h>

#include <cerrno>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <killable/detail/archive.hpp>
#include <killable/detail/exception.hpp>
#include <killable/detail/function_ref.hpp>
#include <killable/detail/worker_call.hpp>

#include "channel/bell.hpp"
#include "channel/inbox.hpp"
#include "channel/shared_memory.hpp"
#include "channel/slot.hpp"
#include "os/deadline.hpp"
#include "os/errno_error.hpp"
#include "os/fault.hpp"
#include "os/seqpacket.hpp"
#include "wire/exec_format.hpp"
#include "worker/clean_state.hpp"
#include "worker/interruption.hpp"
#include "worker/slot_space.hpp"
#include "worker/standard_streams.hpp"
#include "worker/title.hpp"
#include "worker/warm_up.hpp"

namespace killable::worker {

namespace {

using os::Fault;

/// What a worker is made of, from its first call to its last.
struct Worker {
  wire::WorkerId id;
  pid_t process;
  channel::WorkerSlot slot;
  channel::WorkerInbox inbox;
  os::SeqPacket channel;
  /// Before the first call, if there is to be another.
  std::optional<CleanState> clean_state = {};
  bool is_clean = true;               ///< After the call before: fit for another.
  wire::CallNumber large_result = 0;  ///< The last call whose result is in no cell.
  std::uint64_t reach = 0;            ///< How far into the slot results were written.
};

/// The worker's side of the WorkerCall that the trampoline is handed.
class Service {
 public:
  Service(Worker& worker, wire::CallNumber number,
          const channel::WorkerInbox::Call& received, SlotSpace& space,
          WorkerMemory& memory);

  void run();
  /// The same, of a call that must not be seen to run.
  void rehearse();
  /// Commits the exception that is being handled, from before or outside the trampoline.
  void commit_current_exception();

 private:
  static Service& of(void* context) { return *static_cast<Service*>(context); }
  void take_memory();
  void enter(detail::Entry entry);
  void commit(wire::ResultKind kind, const detail::Sink& sink);

  Worker& worker_;
  const wire::CallNumber number_;
  const std::uint32_t attached_;
  const wire::Afterwards afterwards_;
  SlotSpace& space_;
  WorkerMemory& memory_;
  detail::Source arguments_;
  ResultSink value_sink_;
  detail::FixedSink exception_sink_;
  detail::WorkerCall call_;
};

Service::Service(Worker& worker, wire::CallNumber number,
                 const channel::WorkerInbox::Call& received, SlotSpace& space,
                 WorkerMemory& memory)
    : worker_(worker),
      number_(number),
      attached_(received.attached),
      afterwards_(received.afterwards),
      space_(space),
      memory_(memory),
      // The host is trusted; its arguments may take what memory there is.
      arguments_(received.arguments, std::numeric_limits<std::uint64_t>::max()),
      value_sink_(worker.slot, worker.slot.cell(number), space),
      exception_sink_(
          worker.slot.result_memory().first(detail::kMaxExceptionRecordBytes)) {
  arguments_.set_attachments(memory);
  value_sink_.set_attachments(memory);
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
  call_.memory_context = &space;
  // What an initializer makes stays with the process, and its calls need the slot.
  if (afterwards_ == wire::Afterwards::wait) return;
  call_.make_memory = [](void* context, std::uint64_t bytes) {
    return static_cast<SlotSpace*>(context)->make_array(bytes);
  };
}

void Service::run() {
  try {
    take_memory();
    const auto trampoline =
        reinterpret_cast<detail::Trampoline>(detail::decode_function(arguments_));
    trampoline(call_);
  } catch (...) {
    commit_current_exception();
  }
}

void Service::rehearse() {
  call_.committed = true;
  call_.make_memory = nullptr;  // Nor may it be remembered.
  run();
}

void Service::take_memory() try {
  memory_.pass(channel::take_over(worker_.channel, attached_));
} catch (const std::system_error& error) {
  // What is left of it would be taken for the next call's.
  worker_.clean_state.reset();
  throw StartError(error.code(), os::attempt_of(error));
}

void Service::commit_current_exception() {
  exception_sink_.clear();
  detail::encode_current_exception(exception_sink_);
  commit(wire::ResultKind::exception, exception_sink_);
}

void Service::enter(detail::Entry entry) {
  os::fault_point(Fault::worker_before_entry);
  worker_.slot.enter(number_);
  if (number_ == 1) {
    const std::uint64_t now = os::monotonic_ns();
    [[maybe_unused]] const ssize_t written = ::write(wire::kEntryFd, &now, sizeof now);
    ::close(wire::kEntryFd);
  }
  interruption::enter(entry);
}

void Service::commit(wire::ResultKind kind, const detail::Sink& sink) {
  if (call_.committed) return;
  // Who has seen the result has seen the output that came before it.
  flush_standard_streams();
  call_.committed = true;
  os::fault_point(Fault::worker_before_commit);
  const std::uint64_t arrays_begin = space_.arrays_begin();
  // Who holds an array of the slot keeps that memory from the next call.
  worker_.is_clean =
      !space_.has_arrays() && worker_.clean_state &&
      (afterwards_ == wire::Afterwards::wait || worker_.clean_state->still_holds());
  worker_.slot.commit({.worker = worker_.id,
                       .number = number_,
                       .kind = kind,
                       .result = sink.bytes(),
                       .arrays_begin = kind == wire::ResultKind::value ? arrays_begin : 0,
                       .is_clean = worker_.is_clean});
  if (sink.size() > wire::kCellBytes) worker_.large_result = number_;
  os::fault_point(Fault::worker_after_commit);
  channel::ring(wire::kBellFd);
  os::fault_point(Fault::worker_after_bell);
}

/// In place of a call's trampoline.
void return_zero(detail::WorkerCall& call) {
  detail::run_call(call, [](detail::WorkerCall& rehearsal) {
    detail::encode(*rehearsal.value_sink, 0);
  });
}

/// While nobody waits for it, a worker goes through what its call will go through, but
/// for the function: the page faults, those of a hypervisor's own tables among them, and
/// all that is not in the processor's caches take three times as long as the rest.
void prepare(Worker& worker) {
  set_title("killable-spare", "spare worker");
  detail::HeapSink arguments;
  detail::encode_function(arguments, reinterpret_cast<detail::AnyFunction>(&return_zero));
  channel::WorkerInbox::Call call = worker.inbox.call(0);
  call.max_result_bytes = wire::kCellBytes;
  call.arguments = arguments.bytes();
  const auto space = std::make_unique<SlotSpace>(
      worker.slot.memory(), call.max_result_bytes, worker.reach, worker.process);
  const auto memory = std::make_unique<WorkerMemory>(*space);
  interruption::begin_call();
  Service(worker, 0, call, *space, *memory).rehearse();
  rehearse_system_calls();
}

void begin(Worker& worker, const channel::WorkerInbox::Call& call) {
  ::close(wire::kSlotFd);
  ::close(wire::kInboxFd);
  const bool is_only = call.afterwards == wire::Afterwards::exit;
  set_title(is_only ? call.name : "killable-worker", call.name);
  if (!is_only) worker.clean_state.emplace();
}

void serve_one(Worker& worker, wire::CallNumber number,
               const channel::WorkerInbox::Call& call) {
  auto space = std::make_unique<SlotSpace>(worker.slot.memory(), call.max_result_bytes,
                                           worker.reach, worker.process);
  auto memory = std::make_unique<WorkerMemory>(*space);
  if (number == 1)
    begin(worker, call);
  else
    set_title(call.name);
  // The last one need not leave anything as it was.
  if (call.afterwards == wire::Afterwards::exit) worker.clean_state.reset();
  interruption::begin_call();
  if (worker.clean_state) worker.clean_state->begin_call();
  Service(worker, number, call, *space, *memory).run();
  flush_standard_streams();
  // Not through destructors: they would have to outlive the function's own threads, and
  // the arrays that it holds.
  if (!worker.is_clean) ::_exit(0);
  worker.reach = space->reach();
  interruption::end_call();
  if (call.afterwards == wire::Afterwards::wait)
    worker.clean_state.emplace();
}

/// Blocks until call `number` is there to be run, and the room for its result.
void take(Worker& worker, wire::CallNumber number) {
  for (;;) {
    worker.inbox.await_call(number);
    worker.inbox.await_taken(worker.large_result);
    worker.slot.start(number);
    if (worker.inbox.has_call(number)) return;
    worker.slot.start(number - 1);
  }
}

[[noreturn]] void serve_until_last(Worker worker) {
  interruption::install();
  worker.slot.announce_life();
  if (!worker.inbox.has_call(1)) prepare(worker);
  for (wire::CallNumber number = 1;; ++number) {
    take(worker, number);
    os::fault_point(Fault::worker_before_call);
    serve_one(worker, number, worker.inbox.call(number));
  }
}

}  // namespace

void serve_calls(wire::WorkerId id, std::uint64_t slot_bytes,
                 std::uint64_t inbox_bytes) noexcept {
  try {
    serve_until_last({.id = id,
                      .process = ::getpid(),
                      .slot = {wire::kSlotFd, slot_bytes},
                      .inbox = {wire::kInboxFd, inbox_bytes},
                      .channel = os::SeqPacket(os::UniqueFd(wire::kChannelFd))});
  } catch (const std::system_error& error) {
    refuse_call(id, StartError(error.code(), os::attempt_of(error)));
  } catch (const std::exception&) {
    refuse_call(id, StartError(ENOMEM, std::generic_category(), "cannot serve the call"));
  }
}

void refuse_call(wire::WorkerId id, const StartError& error) noexcept {
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
    slot.commit({.worker = id,
                 .number = 1,
                 .kind = wire::ResultKind::exception,
                 .result = sink.bytes(),
                 .arrays_begin = 0,
                 .is_clean = false});
    channel::ring(wire::kBellFd);
  } catch (...) {
  }
  ::_exit(kCannotServe);
}

}  // namespace killable::worker
