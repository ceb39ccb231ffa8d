#include <cxxabi.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include <killable/detail/exception.hpp>
#include <killable/detail/worker_call.hpp>
#include <killable/errors.hpp>
#include <killable/this_worker.hpp>

/// The half of a worker that is linked with the user's code. It serves one call through
/// the WorkerCall that it is handed, and remembers it for this_worker.
namespace killable {

namespace {

/// The call that this process serves; a worker serves one at a time. Other threads of the
/// function may use it, hence atomic.
std::atomic<detail::WorkerCall*> current_call{nullptr};

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

bool this_worker::inside() noexcept { return current_call.load() != nullptr; }

std::stop_token this_worker::stop_token() {
  detail::WorkerCall* call = current_call.load();
  return call == nullptr ? std::stop_token() : call->stop_token(call->context);
}

bool this_worker::stop_requested() noexcept { return stop_token().stop_requested(); }

void this_worker::check_stop() {
  if (stop_requested()) throw StopRequested();
}

}  // namespace killable
