#include <cxxabi.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include <killable/detail/exception.hpp>
#include <killable/detail/shared_memory.hpp>
#include <killable/detail/worker_call.hpp>
#include <killable/errors.hpp>
#include <killable/this_worker.hpp>

#include "channel/shared_memory.hpp"

/// The half of a worker that is linked with the user's code. It serves one call through
/// the WorkerCall that it is handed, and remembers it for this_worker.
namespace killable {

namespace {

/// The call that this process serves; a worker serves one at a time. Other threads of the
/// function may use it, hence atomic.
std::atomic<detail::WorkerCall*> current_call{nullptr};

/// What makes the memory of SharedArrays in a worker, from its first call to its end: any
/// thread of the function may need it at any time. Null in other processes.
std::atomic<void*> memory_context{nullptr};
std::atomic<detail::MakeMemory> memory_maker{nullptr};

void remember_memory_maker(const detail::WorkerCall& call) noexcept {
  if (call.make_memory == nullptr) return;  // Run inline, in a worker or elsewhere.
  memory_context = call.memory_context;
  memory_maker = call.make_memory;
}

class CurrentCall {
 public:
  explicit CurrentCall(detail::WorkerCall& call) : outer_(current_call.exchange(&call)) {}
  ~CurrentCall() { current_call = outer_; }
  CurrentCall(const CurrentCall&) = delete;
  CurrentCall& operator=(const CurrentCall&) = delete;

 private:
  detail::WorkerCall* outer_;  // A call run inline may run another inline.
};

}  // namespace

/// libstdc++ hands a forced unwind to its handler without an object, as a reference to
/// nothing, which the sanitizer for such references reports.
[[gnu::no_sanitize("null")]] void detail::run_call(WorkerCall& call, Serve serve) {
  const CurrentCall current(call);
  try {
    if (call.version != WorkerCall::kVersion)
      throw StartError(
          ENOEXEC, std::generic_category(),
          "cannot serve the call: the worker has another version of killable");
    remember_memory_maker(call);
    serve(call);
  } catch (const abi::__forced_unwind&) {
    call.end_unwound(call.context);
    throw;  // Not reached in a worker; inline, the unwinding is the caller's.
  } catch (...) {
    // A destructor that throws after the commit must not write over the result.
    if (call.committed) return;
    call.leave(call.context);
    call.exception_sink->clear();
    encode_current_exception(*call.exception_sink);
    call.commit_exception(call.context);
  }
}

detail::MemoryPtr detail::make_memory(std::uint64_t bytes) {
  const MakeMemory make = memory_maker.load();
  return make == nullptr ? channel::make_memory(bytes)
                         : make(memory_context.load(), bytes);
}

bool this_worker::inside() noexcept { return current_call.load() != nullptr; }

std::stop_token this_worker::stop_token() {
  detail::WorkerCall* call = current_call.load();
  return call == nullptr ? std::stop_token() : call->stop_token(call->context);
}

bool this_worker::stop_requested() { return stop_token().stop_requested(); }

void this_worker::check_stop() {
  if (stop_requested()) throw StopRequested();
}

}  // namespace killable
