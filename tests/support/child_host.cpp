#include "support/child_host.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <stdexcept>

#include "support/processes.hpp"
#include "support/session_processes.hpp"

namespace killable::test {

namespace {

int run(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the child host threw: %s\n", error.what());
    return 1;
  }
  return ::testing::Test::HasFailure() ? 1 : 0;
}

}  // namespace

ChildHost::ChildHost(const std::function<void()>& body) {
  std::fflush(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    const int status = run(body);
    std::fflush(nullptr);
    ::_exit(status);
  }
  if (pid_ == -1) throw std::runtime_error("cannot fork a host");
}

ChildHost::~ChildHost() {
  if (reaped_) return;
  send_signal(SIGKILL);
  join();
}

void ChildHost::send_signal(int signal) const noexcept { ::kill(pid_, signal); }

void ChildHost::stop() const { test::stop(pid_); }

int ChildHost::join() {
  int status = 0;
  EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
  reaped_ = true;
  return status;
}

bool only_our_own_are_left() {
  return strays().empty() && processes_named("killable-guard").size() == 1 &&
         all_sessions().size() == 1;
}

}  // namespace killable::test
