#include "worker/interruption.hpp"

#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <exception>
#include <mutex>
#include <thread>

#include "channel/bell.hpp"
#include "os/deadline.hpp"
#include "os/signals.hpp"
#include "os/unique_fd.hpp"
#include "wire/exec_format.hpp"
#include "worker/standard_streams.hpp"

/// AddressSanitizer's, in a program that is built with it.
extern "C" [[gnu::weak]] void __asan_handle_no_return();

namespace killable::worker::interruption {

namespace {

enum class Phase { idle, cancellable, cooperative, finishing };

std::atomic<Phase> phase{Phase::idle};
std::atomic<bool> sigterm_came{false};
static_assert(std::atomic<Phase>::is_always_lock_free, "the handler uses it");

pthread_t call_thread;

/// Of the current call; empty if nobody has asked for it. Made anew for each call and
/// never destroyed: the stop thread outlives main.
std::atomic<std::stop_source*> stop_source{nullptr};
std::mutex stop_mutex;

/// It may have come before the call was entered that it is meant for. No other follows.
std::atomic<bool> stop_came{false};

/// Rung by the handler to wake the stop thread; -1 until there is one.
std::atomic<int> stop_bell{-1};
bool has_stop_thread = false;

[[noreturn]] void die_of_sigterm() noexcept {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGTERM, &standard, nullptr);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGTERM);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::kill(::getpid(), SIGTERM);
  ::_exit(128 + SIGTERM);  // Not reached, unless somebody else ignores SIGTERM by now.
}

/// pthread_cancel(3) is not async-signal-safe on paper. In glibc its only hazard is the
/// first call, which loads libgcc_s: see warm_up().
void on_sigterm(int) {
  const int saved_errno = errno;
  sigterm_came.store(true);
  switch (phase.load()) {
    case Phase::idle: die_of_sigterm();
    case Phase::cancellable:
      // It marks the surroundings of local variables, and does not know that the frames
      // which the unwinding leaves are gone: destructors would seem to overrun them.
      if (__asan_handle_no_return != nullptr) __asan_handle_no_return();
      ::pthread_cancel(call_thread);
      break;
    case Phase::cooperative: channel::ring(stop_bell.load()); break;
    case Phase::finishing: break;
  }
  errno = saved_errno;
}

std::terminate_handler default_terminate = nullptr;

/// Cancellation inside a destructor or a noexcept function ends here: that is a kill that
/// took effect, not a failure to print a message about.
[[noreturn]] void terminate_quietly() {
  if (sigterm_came.load()) die_of_sigterm();
  default_terminate();
  ::abort();
}

/// Requests stop once SIGTERM has come or the host has ended the channel's messages, also
/// by its death: nobody wants the result.
void wait_for_stop(int bell) {
  const os::BlockedSignals quiet;
  std::array<pollfd, 2> fds{
      pollfd{.fd = wire::kChannelFd, .events = POLLRDHUP, .revents = 0},
      pollfd{.fd = bell, .events = POLLIN, .revents = 0}};
  while (os::poll_until(fds, os::Deadline::never()) == 0) {
  }
  stop_came.store(true);
  if (std::stop_source* source = stop_source.load()) source->request_stop();
}

void start_stop_thread() {
  os::UniqueFd bell = channel::make_bell();
  std::thread(wait_for_stop, bell.get()).detach();
  stop_bell.store(bell.release());
  has_stop_thread = true;
}

/// Makes the call cooperative, once. Throws std::system_error, and leaves it as it was.
std::stop_source& provide_stop_source() {
  const std::lock_guard lock(stop_mutex);
  if (stop_source.load() == nullptr) {
    // First: nobody would ever stop a token that has no thread behind it.
    if (!has_stop_thread) start_stop_thread();
    stop_source.store(new std::stop_source());
    Phase expected = Phase::cancellable;
    phase.compare_exchange_strong(expected, Phase::cooperative);
    if (sigterm_came.load() || stop_came.load()) stop_source.load()->request_stop();
  }
  return *stop_source.load();
}

/// As long as a process has never had a second thread, glibc's cancellation points do not
/// look for a cancellation: a sleep(3) that SIGTERM interrupts would return to the
/// function as if its time were over. See SINGLE_THREAD_P in glibc's sysdep-cancel.h.
void leave_single_threaded_mode() noexcept {
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, std::size_t{64} << 10);
  pthread_t thread;
  const auto nothing = [](void*) -> void* { return nullptr; };
  if (::pthread_create(&thread, &attributes, nothing, nullptr) == 0)
    ::pthread_join(thread, nullptr);
  ::pthread_attr_destroy(&attributes);
}

}  // namespace

void warm_up() noexcept {
  // glibc loads the unwinder at its first use, which is not async-signal-safe.
  void* frame = nullptr;
  ::backtrace(&frame, 1);
  leave_single_threaded_mode();
  default_terminate = std::set_terminate(terminate_quietly);
}

void install() noexcept {
  call_thread = ::pthread_self();
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  // No SA_RESTART: a call interrupted by SIGTERM should come back and see the stop.
  struct sigaction action {};
  action.sa_handler = on_sigterm;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGTERM, &action, nullptr);
}

void begin_call() {
  delete stop_source.exchange(nullptr);
  phase.store(Phase::idle);
}

void enter(detail::Entry entry) {
  if (entry == detail::Entry::cooperative) {
    std::stop_source& source = provide_stop_source();
    phase.store(Phase::cooperative);
    if (sigterm_came.load()) source.request_stop();
    return;
  }
  phase.store(Phase::cancellable);
  ::pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
}

void leave() noexcept {
  ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  phase.store(Phase::finishing);
}

void end_call() noexcept {
  phase.store(Phase::idle);
  if (sigterm_came.load()) die_of_sigterm();
}

std::stop_token stop_token() { return provide_stop_source().get_token(); }

int own_threads() noexcept { return has_stop_thread ? 1 : 0; }

void end_unwound() noexcept {
  flush_standard_streams();
  if (sigterm_came.load()) die_of_sigterm();
  ::_exit(0);
}

}  // namespace killable::worker::interruption
