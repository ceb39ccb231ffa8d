#include "core/outcome.hpp"

#include <signal.h>
#include <string.h>

#include <chrono>
#include <sstream>

#include <killable/errors.hpp>

#include "os/errno_error.hpp"

namespace killable::core {

namespace {

using std::chrono::nanoseconds;

nanoseconds span_between(std::uint64_t from_ns, std::uint64_t to_ns) {
  return to_ns < from_ns ? nanoseconds{0} : nanoseconds(to_ns - from_ns);
}

State state_of(const wire::Ended& ended, const Report& report) {
  switch (ended.by) {
    case wire::EndedBy::kill: return State::killed;
    case wire::EndedBy::timeout: return State::timed_out;
    case wire::EndedBy::terminate:
      // Our SIGTERM is the reason only if the worker let itself be ended by it.
      if (report.signal == SIGTERM) return State::killed;
      break;
    case wire::EndedBy::itself:
    case wire::EndedBy::release: break;
  }
  return report.signal ? State::crashed : State::exited;
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  const char* description = ::sigdescr_np(signal);
  if (name == nullptr || description == nullptr) return std::to_string(signal);
  return std::to_string(signal) + " (SIG" + name + ": " + description + ")";
}

std::string milliseconds_text(nanoseconds duration) {
  std::ostringstream text;
  text << std::chrono::duration<double, std::milli>(duration).count() << " ms";
  return text.str();
}

}  // namespace

Report report_of(const wire::Ended& ended, std::uint64_t started_at_ns) {
  Report report;
  if (ended.code == CLD_EXITED)
    report.exit_code = ended.status;
  else
    report.signal = ended.status;
  report.state = state_of(ended, report);
  report.wall = span_between(
      ended.entered_at_ns == 0 ? started_at_ns : ended.entered_at_ns, ended.ended_at_ns);
  report.user_cpu = nanoseconds(ended.user_cpu_ns);
  report.system_cpu = nanoseconds(ended.system_cpu_ns);
  report.max_rss_bytes = ended.max_rss_bytes;
  return report;
}

void claim_kill(wire::Ended& ended) noexcept {
  const bool is_unclaimed =
      ended.by == wire::EndedBy::itself || ended.by == wire::EndedBy::terminate;
  const bool is_sigkill = ended.code == CLD_KILLED && ended.status == SIGKILL;
  if (is_unclaimed && is_sigkill) ended.by = wire::EndedBy::kill;
}

void throw_outcome(const Report& report, const std::string& title,
                   const Options& options) {
  switch (report.state) {
    case State::killed: throw Killed(title + " was killed", report);
    case State::timed_out: {
      const nanoseconds timeout = options.timeout.value_or(nanoseconds{0});
      throw TimedOut(
          title + " ran longer than its timeout of " + milliseconds_text(timeout),
          timeout, report);
    }
    case State::crashed:
      throw WorkerCrashed(
          title + " was ended by signal " + signal_name(report.signal.value_or(0)),
          report.signal.value_or(0), report);
    case State::exited:
      throw WorkerExited(title + " ended itself with exit status " +
                             std::to_string(report.exit_code.value_or(0)),
                         report.exit_code.value_or(0), report);
    default: throw WorkerLost(title + " was lost: the fork server ended");
  }
}

std::exception_ptr start_error(const std::string& title, const std::system_error& error) {
  return std::make_exception_ptr(
      StartError(error.code(), "cannot start " + title + ": " + os::attempt_of(error)));
}

std::exception_ptr start_error(const std::string& title, const std::bad_alloc&) {
  return std::make_exception_ptr(StartError(
      ENOMEM, std::generic_category(), "cannot start " + title + ": the host is short"));
}

}  // namespace killable::core
