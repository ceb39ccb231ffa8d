#include "os/signals.hpp"

namespace killable::os {

BlockedSignals::BlockedSignals() noexcept {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before_);
}

BlockedSignals::~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void reset_signals() noexcept {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  // SIGKILL, SIGSTOP and glibc's own two refuse; there is nothing to do about that.
  for (int signal = 1; signal <= SIGRTMAX; ++signal)
    ::sigaction(signal, &standard, nullptr);
  unblock_signals();
}

void unblock_signals() noexcept {
  sigset_t none;
  sigemptyset(&none);
  ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace killable::os
