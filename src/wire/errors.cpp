#include <killable/errors.hpp>

#include <utility>

namespace killable {

Killed::Killed(const std::string& what, Report report)
    : Error(what), report_(std::move(report)) {}

TimedOut::TimedOut(const std::string& what, std::chrono::nanoseconds timeout,
                   Report report)
    : Killed(what, std::move(report)), timeout_(timeout) {}

WorkerCrashed::WorkerCrashed(const std::string& what, int signal, Report report)
    : Error(what), signal_(signal), report_(std::move(report)) {}

WorkerExited::WorkerExited(const std::string& what, int exit_code, Report report)
    : Error(what), exit_code_(exit_code), report_(std::move(report)) {}

RemoteException::RemoteException(std::string type_name, std::string message,
                                 std::vector<std::string> backtrace)
    : type_name_(std::move(type_name)),
      message_(std::move(message)),
      backtrace_(std::move(backtrace)) {}

RemoteException::~RemoteException() = default;

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::not_started: return "not_started";
    case State::running: return "running";
    case State::returned: return "returned";
    case State::threw: return "threw";
    case State::killed: return "killed";
    case State::timed_out: return "timed_out";
    case State::crashed: return "crashed";
    case State::exited: return "exited";
    case State::lost: return "lost";
  }
  return "unknown";
}

}  // namespace killable
