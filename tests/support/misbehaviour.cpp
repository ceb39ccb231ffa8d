#include "support/misbehaviour.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

namespace killable::test {

void sleep_for_ever() {
  for (;;) ::pause();
}

void compute_for_ever() {
  // An atomic, since a loop without effects is undefined behaviour.
  for (std::atomic<unsigned> steps = 0;;) ++steps;
}

void compute_until(const std::string& path) {
  // stat(2) is no cancellation point. See pthreads(7).
  struct stat ignored {};
  while (::stat(path.c_str(), &ignored) != 0) {
  }
}

void ignore_every_signal() {
  for (int signal = 1; signal <= SIGRTMAX; ++signal) ::signal(signal, SIG_IGN);
}

void block_every_signal() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
}

void write_output_to(const std::string& path) {
  const int log = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::close(log);
}

}  // namespace killable::test
