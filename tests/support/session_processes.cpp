#include "support/session_processes.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <optional>

#include "support/eventually.hpp"
#include "support/processes.hpp"

namespace killable::test {

namespace {

std::optional<SessionProcesses> the_only(std::vector<SessionProcesses> sessions) {
  if (sessions.size() != 1) return std::nullopt;
  return sessions[0];
}

}  // namespace

std::vector<SessionProcesses> all_sessions() {
  std::vector<SessionProcesses> sessions;
  const std::vector<Process> guards = processes_named("killable-guard");
  // A new worker has the fork server's name for a moment, but another parent.
  for (const Process& process : processes_named("killable-server"))
    for (const Process& guard : guards)
      if (process.parent == guard.pid) sessions.push_back({guard.pid, process.pid});
  return sessions;
}

SessionProcesses the_session() {
  std::optional<SessionProcesses> session;
  EXPECT_TRUE(eventually([&] {
    session = the_only(all_sessions());
    return session.has_value();
  }));
  return session.value();
}

SessionProcesses the_session_besides(const SessionProcesses& known) {
  std::optional<SessionProcesses> session;
  EXPECT_TRUE(eventually([&] {
    std::vector<SessionProcesses> others = all_sessions();
    std::erase(others, known);
    session = the_only(std::move(others));
    return session.has_value();
  }));
  return session.value();
}

void stop(pid_t process) {
  ::kill(process, SIGSTOP);
  EXPECT_TRUE(eventually([&] { return process_state(process) == 'T'; }));
}

StoppedSession::StoppedSession(const SessionProcesses& session) : session_(session) {
  stop(session_.guard);
  stop(session_.fork_server);
}

StoppedSession::~StoppedSession() {
  ::kill(session_.fork_server, SIGCONT);
  ::kill(session_.guard, SIGCONT);
}

}  // namespace killable::test
