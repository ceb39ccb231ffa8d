#pragma once

#include <sys/types.h>

#include <vector>

namespace killable::test {

/// A guard and its fork server.
struct SessionProcesses {
  pid_t guard = 0;
  pid_t fork_server = 0;

  bool operator==(const SessionProcesses&) const = default;
};

/// Those of this test program and of the hosts that it started.
std::vector<SessionProcesses> all_sessions();

/// Waits until there is exactly one.
SessionProcesses the_session();

/// Waits until there is exactly one besides `known`: that of a child host.
SessionProcesses the_session_besides(const SessionProcesses& known);

/// SIGSTOPs `process` and waits until it has stopped.
void stop(pid_t process);

/// Stops a session, so that no worker can be had from it, for its lifetime. The guard
/// comes first: it resumes a fork server that is stopped.
class StoppedSession {
 public:
  explicit StoppedSession(const SessionProcesses& session);
  ~StoppedSession();
  StoppedSession(const StoppedSession&) = delete;
  StoppedSession& operator=(const StoppedSession&) = delete;

 private:
  SessionProcesses session_;
};

}  // namespace killable::test
