// A function that takes a std::stop_token first ends by itself when it is killed or runs
// into its timeout: it has the grace period to clean up, and may return what it has.
// A function without one is unwound instead, at its next cancellation point, see
// pthreads(7); its destructors run.

#include <killable/killable.hpp>

#include <unistd.h>
#include <cstdio>
#include <iostream>
#include <string>
#include <thread>

using namespace std::chrono_literals;

int count_until_stopped(std::stop_token stop) {
  int rounds = 0;
  while (!stop.stop_requested()) {
    std::this_thread::sleep_for(10ms);
    ++rounds;
  }
  return rounds;
}

void hold_temporary_file(const std::string& path) {
  struct TemporaryFile {
    explicit TemporaryFile(std::string p) : path(std::move(p)) {
      std::fclose(std::fopen(path.c_str(), "w"));
    }
    ~TemporaryFile() { ::unlink(path.c_str()); }
    std::string path;
  } file(path);
  std::this_thread::sleep_for(1h);
}

int main() {
  killable::KillableThread counter({.grace_period = 10s}, count_until_stopped);
  counter.start();
  std::this_thread::sleep_for(500ms);
  counter.kill();
  std::cout << "counted before it stopped: " << (counter.getResult() > 0) << '\n';

  const std::string path = "held-" + std::to_string(::getpid());
  killable::KillableThread holder({.grace_period = 10s}, hold_temporary_file, path);
  holder.start();
  while (::access(path.c_str(), F_OK) != 0) std::this_thread::sleep_for(1ms);
  holder.kill();
  holder.join();
  std::cout << to_string(holder.state()) << ", its file is "
            << (::access(path.c_str(), F_OK) == 0 ? "left" : "removed") << '\n';
}
