// Boost.Process alone: this program executed again, with an int on its standard output.

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include "row.hpp"

namespace {

namespace asio = boost::asio;
namespace process = boost::process::v2;
namespace peers = killable::bench::peers;
using namespace std::chrono_literals;

constexpr const char* kPeer = "Boost.Process alone";

/// One process, doing what `role` says.
class Child {
 public:
  explicit Child(const std::string& role)
      : output_(context_),
        process_(context_, std::filesystem::read_symlink("/proc/self/exe").string(),
                 {role}, process::process_stdio{.in = {}, .out = output_, .err = {}}) {}

  int read_result() {
    int result = 0;
    asio::read(output_, asio::buffer(&result, sizeof result));
    return result;
  }

  void kill() {
    process_.terminate();  // SIGKILL; it does not wait
    wait();
  }

  void wait() { process_.wait(); }

 private:
  asio::io_context context_;
  asio::readable_pipe output_;
  process::process process_;
};

void run_fresh() {
  if (Child("answer").read_result() != 2) throw std::runtime_error("a wrong answer");
}

peers::Microseconds fresh() {
  std::this_thread::sleep_for(1ms);
  const peers::Clock::time_point before = peers::Clock::now();
  Child child("answer");
  if (child.read_result() != 2) throw std::runtime_error("a wrong answer");
  const peers::Microseconds taken = peers::Clock::now() - before;
  child.wait();
  return taken;
}

peers::Microseconds kill_busy_loop() {
  Child child("compute");
  child.read_result();
  std::this_thread::sleep_for(1ms);
  return peers::timed([&] { child.kill(); });
}

peers::Microseconds crash_and_go_on() {
  return peers::timed([] {
    Child("crash").wait();
    run_fresh();
  });
}

void write_result() {
  const int result = 2;
  if (::write(STDOUT_FILENO, &result, sizeof result) != sizeof result) ::_exit(1);
}

[[noreturn]] void run_as(const std::string& role) {
  if (role == "crash") ::raise(SIGKILL);
  write_result();
  while (role == "compute") asm volatile("");
  ::_exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) run_as(argv[1]);
  peers::measure(kPeer, "fresh", 50, fresh);
  peers::measure(kPeer, "kill", 50, kill_busy_loop);
  peers::measure(kPeer, "crash", 50, crash_and_go_on);
}
