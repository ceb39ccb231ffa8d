#include "worker/clean_state.hpp"

#include <fcntl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "wire/exec_format.hpp"
#include "worker/interruption.hpp"
#include "worker/syscall_watch.hpp"

namespace killable::worker {

namespace {

/// What the kernel knows of a sigset_t: a bit for each signal. The rest of what
/// sigaction(2) returns is undefined.
constexpr std::size_t kMaskBytes = (NSIG - 1) / 8;

/// Of calls that follow one which has made system calls, and most likely make some, too:
/// to be told of the first takes a signal.
constexpr unsigned kCallsPerWatch = 8;

/// The text of /proc/self/status: one system call tells of the signals what it would take
/// one for each of 64 to ask. See proc(5).
class Status {
 public:
  Status() noexcept {
    const ssize_t size = ::pread(wire::kStatusFd, block_.data(), block_.size(), 0);
    if (size > 0) text_ = {block_.data(), static_cast<std::size_t>(size)};
  }

  /// What is compared. Empty if there is nothing to read.
  std::array<std::string_view, 3> essence() const noexcept {
    return {lines("\nUmask:", "\nState:"), lines("\nUid:", "\nFDSize:"),
            lines("\nSigPnd:", "\nSpeculation_Store_Bypass:")};
  }

  int threads() const noexcept {
    return static_cast<int>(number_after("\nThreads:\t", 10));
  }

  /// A bit for each signal that is handled, the lowest for 1.
  std::uint64_t caught() const noexcept { return number_after("\nSigCgt:\t", 16); }

 private:
  std::uint64_t number_after(std::string_view heading, int base) const noexcept {
    const std::string_view rest =
        text_.substr(std::min(text_.find(heading), text_.size()));
    std::uint64_t number = 0;
    if (!rest.empty())
      std::from_chars(rest.data() + heading.size(), rest.data() + rest.size(), number,
                      base);
    return number;
  }

  /// The lines from the one that begins with `first` up to that which begins with `last`.
  std::string_view lines(std::string_view first, std::string_view last) const noexcept {
    const std::size_t begin = std::min(text_.find(first), text_.size());
    return text_.substr(begin, text_.find(last, begin) - begin);
  }

  std::array<char, 4096> block_;
  std::string_view text_;
};

std::string essence_of(const Status& status) {
  std::string essence;
  for (const std::string_view lines : status.essence()) essence += lines;
  return essence;
}

bool is_essence(const Status& status, std::string_view essence) noexcept {
  for (const std::string_view lines : status.essence()) {
    if (lines.empty() || !essence.starts_with(lines)) return false;
    essence.remove_prefix(lines.size());
  }
  return essence.empty();
}

std::vector<const char*> environment() {
  std::vector<const char*> variables;
  for (char** variable = ::environ; variable != nullptr && *variable != nullptr;
       ++variable)
    variables.push_back(*variable);
  return variables;
}

bool is_environment(const std::vector<const char*>& variables) noexcept {
  char** variable = ::environ;
  for (const char* const expected : variables)
    if (variable == nullptr || *variable++ != expected) return false;
  return variable == nullptr || *variable == nullptr;
}

bool has_children() noexcept {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
}

/// See alarm(2): the signal would hit a later call.
bool has_alarm() noexcept {
  itimerval alarm{};
  ::getitimer(ITIMER_REAL, &alarm);
  return alarm.it_value.tv_sec != 0 || alarm.it_value.tv_usec != 0;
}

/// On which signals are handled, see sigaltstack(2): the memory may be its call's own.
stack_t signal_stack() noexcept {
  stack_t stack{};
  ::sigaltstack(nullptr, &stack);
  return stack;
}

struct stat working_directory() noexcept {
  struct stat directory {};
  ::fstatat(AT_FDCWD, "", &directory, AT_EMPTY_PATH);
  return directory;
}

}  // namespace

CleanState::CleanState()
    : can_watch_(syscall_watch::install()),
      threads_(0),
      has_children_(has_children()),
      signal_stack_(signal_stack()),
      environment_(environment()),
      directory_(working_directory()) {
  const int status = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (status != -1 && status != wire::kStatusFd) {
    ::dup3(status, wire::kStatusFd, O_CLOEXEC);
    ::close(status);
  }
  const Status now;
  status_ = essence_of(now);
  for (std::uint64_t caught = now.caught(); caught != 0; caught &= caught - 1) {
    Handler handler{.signal = std::countr_zero(caught) + 1, .action = {}};
    // glibc does not tell of the two signals that it keeps for itself.
    if (::sigaction(handler.signal, nullptr, &handler.action) == 0)
      handlers_.push_back(handler);
  }
  threads_ = now.threads() - interruption::own_threads();
  can_watch_ = can_watch_ && can_be_watched();
}

/// What another thread of the initializer's does, nobody watches.
bool CleanState::can_be_watched() const noexcept {
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  return threads_ == 1 && ::sigismember(&blocked, SIGSYS) == 0 &&
         std::ranges::none_of(handlers_, [](const Handler& handler) {
           return handler.signal != SIGSYS &&
                  ::sigismember(&handler.action.sa_mask, SIGSYS) == 1;
         });
}

void CleanState::begin_call() noexcept {
  watches_ = can_watch_ && (was_quiet_ || ++after_loud_ % kCallsPerWatch == 0);
  if (watches_) syscall_watch::begin();
}

bool CleanState::still_holds() noexcept {
  was_quiet_ = watches_ && syscall_watch::end();
  return is_environment(environment_) && (was_quiet_ || kernel_state_holds());
}

bool CleanState::kernel_state_holds() const noexcept {
  const Status status;
  const struct stat directory = working_directory();
  const stack_t stack = signal_stack();
  return !status_.empty() && is_essence(status, status_) && handlers_hold() &&
         status.threads() == threads_ + interruption::own_threads() &&
         has_children() == has_children_ && !has_alarm() &&
         stack.ss_sp == signal_stack_.ss_sp && stack.ss_size == signal_stack_.ss_size &&
         stack.ss_flags == signal_stack_.ss_flags &&
         directory.st_ino == directory_.st_ino && directory.st_dev == directory_.st_dev &&
         (!can_watch_ || syscall_watch::renew());
}

/// That no others came, the status tells.
bool CleanState::handlers_hold() const noexcept {
  return std::ranges::all_of(handlers_, [](const Handler& handler) {
    struct sigaction now {};
    return ::sigaction(handler.signal, nullptr, &now) == 0 &&
           now.sa_handler == handler.action.sa_handler &&
           now.sa_flags == handler.action.sa_flags &&
           std::memcmp(&now.sa_mask, &handler.action.sa_mask, kMaskBytes) == 0;
  });
}

}  // namespace killable::worker
