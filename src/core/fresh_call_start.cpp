#include <array>
#include <cerrno>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include <killable/errors.hpp>

#include "core/fresh_call.hpp"
#include "core/outcome.hpp"
#include "core/runtime.hpp"
#include "os/errno_error.hpp"

/// How a call comes to a worker.
namespace killable::core {

void FreshCall::start() {
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

void FreshCall::run() {
  begin();
  run_inline();
}

void FreshCall::begin() {
  if (is_elsewhere())
    throw std::logic_error("cannot start " + title() + ": it is the parent process's");
  const std::lock_guard lock(mutex_);
  if (starting_ || state_ != State::not_started)
    throw std::logic_error("cannot start " + title() + ": it was started before");
  starting_ = true;
}

void FreshCall::launch() try {
  check_function_is_reachable();
  Runtime& runtime = Runtime::instance();
  for (int attempt = 0; attempt < Runtime::kSessionAttempts; ++attempt)
    if (try_launch(request_.captured ? runtime.forked_session() : runtime.session()))
      return;
  os::throw_errno(ECONNRESET, "get a worker: the fork server was killed at once");
} catch (const StartError&) {
  throw;
} catch (const std::system_error& error) {
  std::rethrow_exception(start_error(title(), error));
} catch (const std::bad_alloc& error) {
  std::rethrow_exception(start_error(title(), error));
}

/// False: the fork server died before the call had a worker.
bool FreshCall::try_launch(const std::shared_ptr<Session>& session) {
  started_at_ns_ = os::monotonic_ns();
  std::optional<HostWorker> worker = session->start(session_request());
  if (!worker) return false;
  adopt(session, std::move(*worker));
  session->refill_if_empty();
  return true;
}

void FreshCall::adopt(std::shared_ptr<Session> session, HostWorker worker) {
  {
    const std::lock_guard lock(mutex_);
    // The worker has its own mapping of them.
    request_.arguments.reset();
    report_.pid = worker.pid;
    session_ = std::move(session);
    worker_ = std::move(worker);
    state_ = State::running;
    starting_ = false;
  }
  if (pending_end_) end(pending_end_->mode, pending_end_->grace);
}

}  // namespace killable::core
