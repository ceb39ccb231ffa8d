#include "spawn/launch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/process/v2/posix/vfork_launcher.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <vector>

#include <killable/errors.hpp>

#include "channel/become_guard.hpp"
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

constexpr std::chrono::milliseconds kResumePause{200};

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

/// The executed process exits at once. If the host ignores SIGCHLD, or reaps every child
/// it sees, then somebody else has reaped it.
void reap(pid_t child) {
  siginfo_t info{};
  os::retry_on_eintr(
      [&] { return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED); });
}

/// Executes `image`, which forks the guard and exits, and reaps it.
void execute(const std::string& image, int control) {
  // The vfork child shares this thread's memory: no handler of the host's may run in it.
  const os::BlockedSignals quiet;
  boost::asio::io_context context;
  const std::vector<std::string> arguments{wire::kGuardArgument,
                                           std::string(wire::kTitlePadding, ' ')};
  process::posix::vfork_launcher launcher;
  boost::system::error_code error;
  try {
    launcher(context.get_executor(), error, image, arguments,
             HandOver{.source = control, .target = wire::kControlFd})
        .detach();
  } catch (const boost::system::system_error&) {
    // It was executed, but its handle could not be opened, which nobody needs: there is
    // no descriptor for it, or a host that ignores SIGCHLD has reaped the process
    // already.
  }
  // Also if it could not be executed: the launcher does not.
  if (launcher.pid > 0) reap(launcher.pid);
  if (error) fail(error.value(), "execute " + image + ": " + error.message());
}

/// Takes in what has come. False: the socket has closed.
bool receive_introductions(Launched& launched) {
  using Status = os::SeqPacket::Received::Status;
  for (;;) {
    std::array<std::byte, wire::kMaxControlBytes> buffer;
    os::SeqPacket::Received received = launched.control.receive(buffer);
    if (received.status != Status::message) return received.status == Status::would_block;
    const auto message = std::span(buffer).first(received.size);
    if (const auto failed = wire::parse<wire::ForkFailed>(message))
      fail(failed->error, "fork it from its image");
    if (received.fds.size() != 1) fail(EMFILE, "receive a pidfd");
    os::Pidfd pidfd(std::move(received.fds[0]));
    if (wire::parse<wire::Guarded>(message)) launched.guard = std::move(pidfd);
    if (wire::parse<wire::Hello>(message)) launched.fork_server = std::move(pidfd);
  }
}

/// Waits until guard and fork server have introduced themselves.
Launched await_hello(os::SeqPacket control) {
  Launched launched{.control = std::move(control), .guard = {}, .fork_server = {}};
  const os::Deadline deadline = os::Deadline::in(kHelloLimit);
  while (!launched.guard || !launched.fork_server) {
    std::array<pollfd, 1> fd{
        pollfd{.fd = launched.control.get(), .events = POLLIN, .revents = 0}};
    const int ready = os::poll_until(fd, os::Deadline::in(kResumePause));
    if (ready != 0 && !receive_introductions(launched))
      fail(ECONNRESET, "it ended before it was ready");
    // Should somebody have stopped the guard, nobody else would resume it.
    if (ready == 0 && launched.guard) launched.guard.send_signal(SIGCONT);
    if (deadline.passed()) {
      if (launched.guard) launched.guard.send_signal(SIGKILL);
      fail(ETIMEDOUT, "its image does not reach main");
    }
  }
  return launched;
}

}  // namespace

Launched launch_guard(const std::string& image) {
  auto [host_end, guard_end] = os::SeqPacket::make_pair();
  execute(image, guard_end.get());
  guard_end.reset();
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
