#include "worker/worker_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <span>
#include <string>
#include <system_error>

#include <killable/errors.hpp>

#include "os/fault.hpp"
#include "os/signals.hpp"
#include "wire/exec_format.hpp"
#include "worker/interruption.hpp"
#include "worker/serve.hpp"

namespace killable::worker {

namespace {

/// When the fork server dies, so does this process. Should that have happened before the
/// prctl, the parent is another by now. See prctl(2), PR_SET_PDEATHSIG: it follows the
/// thread that forked, and the fork server has only one.
void die_with(pid_t fork_server) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != fork_server) ::_exit(0);
}

/// No core file, and no core handler either: a limit of 0 would still run the handler of
/// a piped core_pattern, a limit of 1 does not. See core(5).
void forbid_core_dumps() noexcept {
  rlimit limit{};
  ::getrlimit(RLIMIT_CORE, &limit);
  limit.rlim_cur = std::min<rlim_t>(1, limit.rlim_max);
  ::setrlimit(RLIMIT_CORE, &limit);
}

/// Moves the five descriptors to their fixed numbers and closes every other but 0, 1, 2.
void arrange_descriptors(const WorkerSetup& setup) noexcept {
  const std::array moves{
      std::pair{setup.channel, wire::kChannelFd}, std::pair{setup.bell, wire::kBellFd},
      std::pair{setup.entry, wire::kEntryFd}, std::pair{setup.slot, wire::kSlotFd},
      std::pair{setup.inbox, wire::kInboxFd}};
  std::array<int, moves.size()> safe{};
  // Via numbers above all targets, since a source may be another's target.
  for (std::size_t i = 0; i < moves.size(); ++i)
    safe[i] = ::fcntl(moves[i].first, F_DUPFD_CLOEXEC, wire::kFirstFreeFd);
  const int flags = setup.spawn ? 0 : O_CLOEXEC;
  for (std::size_t i = 0; i < moves.size(); ++i)
    if (safe[i] == -1 || ::dup3(safe[i], moves[i].second, flags) == -1)
      ::_exit(kCannotServe);
  ::close_range(wire::kFirstFreeFd, ~0u, 0);
}

/// Replaces this process by a fresh image of the same program. Returns only on failure.
void execute_image(const WorkerSetup& setup) noexcept {
  std::string padding(wire::kTitlePadding, ' ');
  std::string id = std::to_string(setup.id);
  std::string slot_bytes = std::to_string(setup.slot_bytes);
  std::string inbox_bytes = std::to_string(setup.inbox_bytes);
  char title[] = "killable: worker";
  std::string role = wire::kWorkerArgument;
  char* const arguments[] = {title,     role.data(),       padding.data(),
                             id.data(), slot_bytes.data(), inbox_bytes.data(),
                             nullptr};
  ::execv("/proc/self/exe", arguments);
}

}  // namespace

void become_worker(const WorkerSetup& setup) noexcept {
  die_with(setup.fork_server);
  os::fault_point(os::Fault::worker_after_fork);
  ::setsid();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // Their dispositions are the guard's, which has reset them; no system call for each.
  os::unblock_signals();
  forbid_core_dumps();
  arrange_descriptors(setup);
  ::setrlimit(RLIMIT_NOFILE, &setup.open_files);
  if (setup.spawn) {
    execute_image(setup);
    refuse_call(setup.id, StartError(errno, std::generic_category(),
                                     "cannot execute /proc/self/exe"));
  }
  serve_calls(setup.id, setup.slot_bytes, setup.inbox_bytes);
}

void resume_spawned_worker(int argc, char** argv) noexcept {
  if (argc != 6) ::_exit(kCannotServe);
  for (int fd = wire::kChannelFd; fd < wire::kFirstFreeFd; ++fd)
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  // The program's static initialisers may have set handlers by now.
  os::reset_signals();
  interruption::warm_up();
  const auto number = [](const char* text) { return std::strtoull(text, nullptr, 10); };
  serve_calls(number(argv[3]), number(argv[4]), number(argv[5]));
}

}  // namespace killable::worker
