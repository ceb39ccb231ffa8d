#include "worker/syscall_watch.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <new>

namespace killable::worker::syscall_watch {

#if defined(__x86_64__) && defined(PR_SET_SYSCALL_USER_DISPATCH)

namespace {

using Selector = std::atomic<char>;
static_assert(Selector::is_always_lock_free, "the kernel and the handler use it");

/// The byte that the kernel looks at.
Selector selector{SYSCALL_DISPATCH_FILTER_ALLOW};

/// si_code of a SIGSYS by the dispatch: SYS_USER_DISPATCH of <asm-generic/siginfo.h>.
constexpr int kByDispatch = 2;

/// Of the instruction `syscall`, and of `int $0x80`.
constexpr greg_t kInstructionBytes = 2;

/// With every signal blocked: none is handled amid this.
void on_sigsys(int, siginfo_t* info, void* context) {
  selector.store(SYSCALL_DISPATCH_FILTER_ALLOW, std::memory_order_relaxed);
  if (info->si_code == kByDispatch) {
    // The registers are as they were before the instruction, the one but for this.
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] -= kInstructionBytes;
    return;
  }
  // Somebody else's. What it would do without us, it does once this has returned.
  ::signal(SIGSYS, SIG_DFL);
  ::kill(::getpid(), SIGSYS);
}

bool is_default(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL;
}

bool is_ours(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == on_sigsys;
}

bool handle_sigsys() noexcept {
  struct sigaction before {};
  struct sigaction ours {};
  ours.sa_sigaction = on_sigsys;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigfillset(&ours.sa_mask);
  if (::sigaction(SIGSYS, &ours, &before) != 0) return false;
  if (is_default(before) || is_ours(before)) return true;
  ::sigaction(SIGSYS, &before, nullptr);
  return false;
}

/// A function may be on a small stack of its own making when it makes a system call.
bool provide_signal_stack() noexcept {
  stack_t stack{};
  if (::sigaltstack(nullptr, &stack) != 0) return false;
  if ((stack.ss_flags & SS_DISABLE) == 0) return true;
  const auto bytes = static_cast<std::size_t>(::sysconf(_SC_SIGSTKSZ));
  auto* const memory = new (std::nothrow) std::byte[bytes];  // Until the process ends.
  stack = {.ss_sp = memory, .ss_flags = 0, .ss_size = bytes};
  return memory != nullptr && ::sigaltstack(&stack, nullptr) == 0;
}

bool switch_on() noexcept {
  return ::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) == 0;
}

}  // namespace

bool install() noexcept {
  return handle_sigsys() && provide_signal_stack() && switch_on();
}

bool renew() noexcept { return switch_on(); }

void begin() noexcept {
  selector.store(SYSCALL_DISPATCH_FILTER_BLOCK, std::memory_order_relaxed);
}

bool end() noexcept {
  return selector.exchange(SYSCALL_DISPATCH_FILTER_ALLOW, std::memory_order_relaxed) ==
         SYSCALL_DISPATCH_FILTER_BLOCK;
}

#else

bool install() noexcept { return false; }
bool renew() noexcept { return false; }
void begin() noexcept {}
bool end() noexcept { return false; }

#endif

}  // namespace killable::worker::syscall_watch
