#pragma once

#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <killable/report.hpp>

/// What this library throws. A text always says the attempt and the object.
namespace killable {

/// Base of the errors that tell how a call ended.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The call was ended by kill(), raise_exception() or its handle's destructor.
class Killed : public Error {
 public:
  Killed(const std::string& what, Report report);
  /// The evidence. After kill(0ms) that of the moment; KillableThread::report() waits for
  /// all of it.
  const Report& report() const noexcept { return report_; }

 private:
  Report report_;
};

/// The call ran longer than Options::timeout, or waited longer than
/// PoolOptions::queue_timeout for a worker.
class TimedOut : public Killed {
 public:
  TimedOut(const std::string& what, std::chrono::nanoseconds timeout, Report report);
  std::chrono::nanoseconds timeout() const noexcept { return timeout_; }

 private:
  std::chrono::nanoseconds timeout_;
};

/// A signal that this library did not send ended the worker: SIGSEGV, SIGABRT, the
/// kernel's out-of-memory SIGKILL, somebody else's kill(2).
class WorkerCrashed : public Error {
 public:
  WorkerCrashed(const std::string& what, int signal, Report report);
  int signal() const noexcept { return signal_; }
  const Report& report() const noexcept { return report_; }

 private:
  int signal_;
  Report report_;
};

/// The function ended its process, by exit(3) or alike, instead of returning.
class WorkerExited : public Error {
 public:
  WorkerExited(const std::string& what, int exit_code, Report report);
  int exit_code() const noexcept { return exit_code_; }
  const Report& report() const noexcept { return report_; }

 private:
  int exit_code_;
  Report report_;
};

/// The fork server ended, and this call's worker with it. Starting again works.
class WorkerLost : public Error {
 public:
  using Error::Error;
};

/// As many calls wait for a worker as PoolOptions::max_queued allows.
class QueueFull : public Error {
 public:
  using Error::Error;
};

/// A bound set by the host was exceeded, such as Options::max_result_bytes.
class LimitExceeded : public Error {
 public:
  using Error::Error;
};

/// A value could not be encoded, or bytes did not decode to the type asked for.
class CodecError : public Error {
 public:
  using Error::Error;
};

/// The worker wrote into its shared memory what the protocol does not allow.
class ProtocolViolation : public Error {
 public:
  using Error::Error;
};

/// No worker could be had, or it could not find the function. code() is the errno(3).
class StartError : public std::system_error {
 public:
  using std::system_error::system_error;
};

/// Thrown by this_worker::check_stop() once a stop was requested.
class StopRequested : public Error {
 public:
  StopRequested() : Error("stop requested") {}
  using Error::Error;
};

/// What an exception of a type that is not registered arrives as (see RegisterException).
///
/// The object thrown in the host is a RemoteException and also the nearest standard base
/// that the original had, so `catch (const std::runtime_error&)`, `catch (const
/// std::exception&)` and `catch (const RemoteException&)` all find it. It does not derive
/// from std::exception itself: a second base of that type would make the catch ambiguous.
/// What was thrown without a standard base arrives with killable::Error as its base.
class RemoteException {
 public:
  RemoteException(std::string type_name, std::string message,
                  std::vector<std::string> backtrace = {});
  RemoteException(const RemoteException&) = default;
  RemoteException& operator=(const RemoteException&) = default;
  virtual ~RemoteException();

  /// The demangled name of the type that was thrown.
  const std::string& type_name() const noexcept { return type_name_; }
  /// Its what(), or its value where it is text or a number; bounded in length.
  const std::string& message() const noexcept { return message_; }
  /// What whoever made it has said of where it was thrown, innermost first. This library
  /// takes none.
  const std::vector<std::string>& backtrace() const noexcept { return backtrace_; }

 private:
  std::string type_name_;
  std::string message_;
  std::vector<std::string> backtrace_;
};

}  // namespace killable
