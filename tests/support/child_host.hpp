#pragma once

#include <sys/types.h>

#include <functional>

namespace killable::test {

/// A host for a test to stop and to kill: a fork of the test program, which has a guard
/// and a fork server of its own from its first call on. What it wants to tell it tells by
/// signal_file(). Requires a test program with one thread, for what the fork copies.
class ChildHost {
 public:
  /// Runs `body` in the child and ends it: with exit status 0, or 1 if the body threw or
  /// failed an expectation.
  explicit ChildHost(const std::function<void()>& body);
  /// Kills and reaps it.
  ~ChildHost();
  ChildHost(const ChildHost&) = delete;
  ChildHost& operator=(const ChildHost&) = delete;

  pid_t pid() const noexcept { return pid_; }
  void send_signal(int signal) const noexcept;

  /// SIGSTOPs it and waits until it has stopped.
  void stop() const;

  /// Waits for its end and returns the status, as of waitpid(2).
  int join();

 private:
  pid_t pid_;
  bool reaped_ = false;
};

/// Whether nothing is left of the child hosts that have ended: there is one session, this
/// program's own, and no worker.
bool only_our_own_are_left();

}  // namespace killable::test
