#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include <killable/errors.hpp>

#include "core/call.hpp"
#include "core/runtime.hpp"
#include "os/errno_error.hpp"
#include "os/image.hpp"

/// How a call comes to a worker.
namespace killable::core {

namespace {

/// A fork server that dies at the moment of a start is replaced, but not for ever:
/// something kills them.
constexpr int kLaunchAttempts = 4;

bool is_inline_mode() {
  const char* mode = std::getenv("KILLABLE_INLINE");
  return mode != nullptr && std::strcmp(mode, "1") == 0;
}

/// With killable-worker as the image, the host's own functions exist in no worker.
void check_function_is_reachable(const detail::CallRequest& request) {
  if (os::program_enters_worker() || request.captured) return;
  const auto module = os::module_of(reinterpret_cast<std::uintptr_t>(request.trampoline));
  if (module && module->path.empty())
    throw StartError(
        ENOEXEC, std::generic_category(),
        "cannot start " + request.options.name +
            ": its function lies in a program that is not linked with "
            "killable::killable and does not call killable::init(argc, argv)");
}

}  // namespace

void Call::start() {
  begin();
  try {
    if (is_inline_mode())
      run_inline();
    else
      launch();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    starting_ = false;
    pending_end_.reset();
    throw;
  }
}

void Call::run() {
  begin();
  run_inline();
}

void Call::begin() {
  if (is_elsewhere())
    throw std::logic_error("cannot start " + title() + ": it is the parent process's");
  const std::lock_guard lock(mutex_);
  if (starting_ || state_ != State::not_started)
    throw std::logic_error("cannot start " + title() + ": it was started before");
  starting_ = true;
}

void Call::launch() try {
  check_function_is_reachable(request_);
  Runtime& runtime = Runtime::instance();
  for (int attempt = 0; attempt < kLaunchAttempts; ++attempt)
    if (try_launch(request_.captured ? runtime.forked_session() : runtime.session()))
      return;
  os::throw_errno(ECONNRESET, "get a worker: the fork server was killed at once");
} catch (const StartError&) {
  throw;
} catch (const std::system_error& error) {
  throw StartError(error.code(),
                   "cannot start " + title() + ": " + os::attempt_of(error));
}

/// False: the fork server died before the call had a worker.
bool Call::try_launch(const std::shared_ptr<Session>& session) {
  const Options& options = request_.options;
  started_at_ns_ = os::monotonic_ns();
  std::optional<HostWorker> worker =
      session->start({.call = {.name = options.name,
                               .max_result_bytes = options.max_result_bytes,
                               .arguments = request_.arguments->bytes()},
                      .spawn = options.start_method == StartMethod::spawn,
                      .timeout = options.timeout,
                      .grace = grace_period()});
  if (!worker) return false;
  started(session, std::move(*worker));
  session->refill_if_empty();
  return true;
}

void Call::started(std::shared_ptr<Session> session, HostWorker worker) {
  const std::lock_guard lock(mutex_);
  // The worker has its own mapping of them.
  request_.arguments.reset();
  report_.pid = worker.pid;
  session_ = std::move(session);
  worker_ = std::move(worker);
  state_ = State::running;
  starting_ = false;
  if (pending_end_)
    session_->end(worker_->id, pending_end_->mode,
                  std::chrono::nanoseconds(pending_end_->grace_ns));
}

}  // namespace killable::core
