#include "spawn/launch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/process/v2/posix/vfork_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <vector>

#include <killable/errors.hpp>

#include "channel/roles.hpp"
#include "os/deadline.hpp"
#include "os/errno_error.hpp"
#include "os/signals.hpp"
#include "wire/control.hpp"
#include "wire/exec_format.hpp"

namespace killable::spawn {

namespace {

namespace process = boost::process::v2;

/// How long the image's static initialisers may take before main.
constexpr std::chrono::seconds kHelloLimit{60};

[[noreturn]] void fail(int error, const std::string& why) {
  throw StartError(error, std::generic_category(),
                   "cannot start the fork server: " + why);
}

/// Hands `source` over as descriptor `target`. Boost 1.81's own initializer for this has
/// no return statement in its on_setup.
struct HandOver {
  int source;
  int target;

  template <class Launcher>
  boost::system::error_code on_setup(Launcher& launcher, const auto& /*executable*/,
                                     const char* const*& /*arguments*/) const {
    launcher.fd_whitelist.push_back(target);
    return {};
  }

  // Runs in the vfork child: only system calls from here.
  template <class Launcher>
  boost::system::error_code on_exec_setup(Launcher& /*launcher*/,
                                          const auto& /*executable*/,
                                          const char* const*& /*arguments*/) const {
    const int result =
        source == target ? ::fcntl(target, F_SETFD, 0) : ::dup2(source, target);
    if (result == -1) return {errno, boost::system::system_category()};
    return {};
  }

  // The launcher would go on to exit(3), in memory that it shares with the host.
  template <class Launcher>
  void on_exec_error(Launcher& /*launcher*/, const auto& /*executable*/,
                     const char* const*& /*arguments*/,
                     const boost::system::error_code& /*error*/) const {
    ::_exit(127);
  }
};

/// Returns the pid of the process that was executed; it forks the guard and exits.
pid_t execute(const std::string& image, int control) {
  // The vfork child shares this thread's memory: no handler of the host's may run in it.
  const os::BlockedSignals quiet;
  boost::asio::io_context context;
  const std::vector<std::string> arguments{wire::kGuardArgument,
                                           std::string(wire::kTitlePadding, ' ')};
  process::posix::vfork_launcher launcher;
  boost::system::error_code error;
  process::process launched =
      launcher(context.get_executor(), error, image, arguments,
               HandOver{.source = control, .target = wire::kControlFd});
  if (error) fail(error.value(), "execute " + image + ": " + error.message());
  const pid_t pid = launched.id();
  launched.detach();
  return pid;
}

/// The executed process exits at once. If the host ignores SIGCHLD, or reaps every child
/// it sees, then somebody else has reaped it.
void reap(pid_t child) {
  siginfo_t info{};
  os::retry_on_eintr(
      [&] { return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED); });
}

Launched await_hello(os::SeqPacket control) {
  const os::Deadline deadline = os::Deadline::in(kHelloLimit);
  std::array<pollfd, 1> fd{pollfd{.fd = control.get(), .events = POLLIN, .revents = 0}};
  while (os::poll_until(fd, deadline) == 0)
    if (deadline.passed()) fail(ETIMEDOUT, "its image does not reach main");
  std::array<std::byte, wire::kMaxControlBytes> buffer;
  os::SeqPacket::Received received = control.receive(buffer);
  if (!wire::parse<wire::Hello>(std::span(buffer).first(received.size)))
    fail(ECONNRESET, "it ended before it was ready");
  if (received.fds.size() != 2) fail(EMFILE, "receive its pidfds");
  return {.control = std::move(control),
          .guard = os::Pidfd(std::move(received.fds[0])),
          .fork_server = os::Pidfd(std::move(received.fds[1]))};
}

}  // namespace

Launched launch_guard(const std::string& image) {
  auto [host_end, guard_end] = os::SeqPacket::make_pair();
  const pid_t executed = execute(image, guard_end.get());
  guard_end.reset();
  reap(executed);
  return await_hello(std::move(host_end));
}

Launched fork_guard() {
  auto [host_end, guard_end] = os::SeqPacket::make_pair();
  // What the host has not written yet would be written again by every copy of it.
  std::cout.flush();
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == -1) fail(errno, "fork the host");
  if (child == 0) channel::become_guard(std::move(guard_end));
  guard_end.reset();
  reap(child);
  return await_hello(std::move(host_end));
}

}  // namespace killable::spawn
