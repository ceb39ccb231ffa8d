#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/sanitizers.hpp"

/// A pool's worker is told of the first system call that a function makes. The function
/// must not notice, and what it leaves must be seen all the same.
namespace killable::test {
namespace {

class PoolSystemCalls : public NothingIsLeft {
 protected:
  void SetUp() override {
    NothingIsLeft::SetUp();
    pool_.emplace(PoolOptions{.workers = 1});
  }

  void TearDown() override {
    pool_.reset();
    NothingIsLeft::TearDown();
  }

  /// Has each worker run `function` first.
  template <class F>
  static ProcessPool one_worker_after(F function) {
    return ProcessPool({.workers = 1, .initializer = Initializer(function)});
  }

  /// After calls that made none, its worker is told of the first of the next call.
  static void call_quietly(ProcessPool& pool) {
    for (int i = 0; i < 10; ++i) pool.submit([] {}).getResult();
  }

  template <class F>
  auto later_call(F function) {
    call_quietly(*pool_);
    return pool_->submit(function).getResult();
  }

  std::optional<ProcessPool> pool_;
};

/// False: this kernel does not tell of system calls, see prctl(2).
bool end_dispatch() {
#ifdef PR_SET_SYSCALL_USER_DISPATCH
  return ::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0) == 0;
#else
  return false;
#endif
}

/// Whether the kernel tells of them. ThreadSanitizer gives each
/// worker a second thread, which nobody watches.
bool are_watched() { return !kThreadSanitizer && end_dispatch(); }

/// What a process has read from files, in bytes. See proc(5), /proc/pid/io.
std::uint64_t bytes_read(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/io");
  std::string heading;
  std::uint64_t bytes = 0;
  file >> heading >> bytes;
  EXPECT_EQ(heading, "rchar:");
  return bytes;
}

TEST_F(PoolSystemCalls, WhoMakesNoneIsNotLookedAt) {
  const pid_t worker = later_call(::getpid);
  const auto read_for = [&](auto function) {
    const auto call_often = [&] {
      for (int i = 0; i < 10; ++i) pool_->submit(function).getResult();
    };
    call_often();  // Who has made some before is looked at for a while.
    const std::uint64_t before = bytes_read(worker);
    call_often();
    return bytes_read(worker) - before;
  };
  EXPECT_GT(read_for([] { return ::getppid() != 0; }), 0u);
  EXPECT_EQ(read_for([] { return 1; }) == 0, are_watched());
}

TEST_F(PoolSystemCalls, ReturnWhatTheyDo) {
  EXPECT_EQ(later_call([] { return ::getpid(); }),
            later_call([] { return static_cast<pid_t>(::syscall(SYS_getpid)); }));
  EXPECT_EQ(later_call([] { return ::close(-1) == -1 ? errno : 0; }), EBADF);
}

TEST_F(PoolSystemCalls, TakeSixArguments) {
  const auto map = [] {
    void* memory = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) return 0;
    static_cast<char*>(memory)[8191] = 1;
    return ::munmap(memory, 8192) == 0 ? 1 : 0;
  };
  EXPECT_EQ(later_call(map), 1);
}

TEST_F(PoolSystemCalls, KeepTheRegistersOfTheFunction) {
  const auto compute = [] {
    volatile double three = 3;
    const double root = __builtin_sqrt(three);
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < 100; ++i) {
      sum += i * i;
      if (i == 50) sum += static_cast<std::uint64_t>(::syscall(SYS_getpid) > 0);
    }
    return std::pair(sum, root);
  };
  EXPECT_EQ(later_call(compute), compute());
}

TEST_F(PoolSystemCalls, ForkAndExecuteOtherPrograms) {
  const auto execute = [] { return std::system("exit 7"); };
  EXPECT_EQ(WEXITSTATUS(later_call(execute)), 7);
}

TEST_F(PoolSystemCalls, MayBeAChilds) {
  const auto fork = [] {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::getppid() > 1 ? 5 : 6);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(later_call(fork), 5);
}

#ifdef __x86_64__

/// Of 256 bytes, above memory that cannot be written.
char* small_stack = nullptr;

void make_small_stack() {
  constexpr std::size_t kPage = 4096;
  void* const memory = ::mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ::mprotect(memory, kPage, PROT_NONE);
  small_stack = static_cast<char*>(memory) + kPage + 256;
}

long process_on_small_stack() {
  long result = SYS_getpid;
  char* stack = small_stack;
  asm volatile("xchg %%rsp, %[stack]\n\tsyscall\n\txchg %%rsp, %[stack]"
               : "+a"(result), [stack] "+r"(stack)
               :
               : "rcx", "r11", "memory");
  return result;
}

TEST_F(PoolSystemCalls, NeedNoRoomOnTheFunctionsStack) {
  ProcessPool pool = one_worker_after(make_small_stack);
  call_quietly(pool);
  const long process = pool.submit(process_on_small_stack).getResult();
  EXPECT_EQ(process, pool.submit(::getpid).getResult());
}

#endif

// --- What the initializer has left ---

std::atomic<int> alarms{0};

/// SIGPROF is handled again and again while functions compute.
void handle_alarms(sigset_t blocked_meanwhile) {
  struct sigaction action {};
  action.sa_handler = [](int) { ++alarms; };
  action.sa_mask = blocked_meanwhile;
  ::sigaction(SIGPROF, &action, nullptr);
  const timeval interval{.tv_sec = 0, .tv_usec = 1000};
  const itimerval timer{.it_interval = interval, .it_value = interval};
  ::setitimer(ITIMER_PROF, &timer, nullptr);
}

bool is_interrupted() {
  const int before = alarms;
  while (alarms < before + 3) {
  }
  return true;
}

TEST_F(PoolSystemCalls, MayBeThoseOfASignalHandler) {
  ProcessPool pool = one_worker_after([] {
    sigset_t none;
    sigemptyset(&none);
    handle_alarms(none);
  });
  call_quietly(pool);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.submit(is_interrupted).getResult());
}

TEST_F(PoolSystemCalls, MayBeThoseOfAHandlerThatBlocksEverySignal) {
  ProcessPool pool = one_worker_after([] {
    sigset_t all;
    sigfillset(&all);
    handle_alarms(all);
  });
  call_quietly(pool);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pool.submit(is_interrupted).getResult());
}

TEST_F(PoolSystemCalls, MayBeThoseOfAFunctionThatBlocksEverySignal) {
  ProcessPool pool = one_worker_after(block_every_signal);
  call_quietly(pool);
  for (int i = 0; i < 3; ++i) EXPECT_GT(pool.submit(::getppid).getResult(), 0);
}

TEST_F(PoolSystemCalls, LeaveSigsysToAnInitializerThatHandlesIt) {
  static std::atomic<bool> came{false};
  ProcessPool pool = one_worker_after([] { ::signal(SIGSYS, [](int) { came = true; }); });
  const pid_t worker = pool.submit(::getpid).getResult();
  call_quietly(pool);
  EXPECT_TRUE(pool.submit([] { return ::raise(SIGSYS) == 0 && came; }).getResult());
  EXPECT_EQ(pool.submit(::getpid).getResult(), worker);
}

void handle_sigusr1() {
  ::signal(SIGUSR1, [](int) {});
}

TEST_F(PoolSystemCalls, AreSeenToChangeAHandlerOfTheInitializer) {
  ProcessPool pool = one_worker_after(handle_sigusr1);
  const pid_t worker = pool.submit(::getpid).getResult();
  call_quietly(pool);
  pool.submit(handle_sigusr1).getResult();
  EXPECT_EQ(pool.submit(::getpid).getResult(), worker);
  pool.submit([] { ::signal(SIGUSR1, [](int) { ::_exit(1); }); }).getResult();
  EXPECT_NE(pool.submit(::getpid).getResult(), worker);
}

TEST_F(PoolSystemCalls, AreSeenOfAThreadOfTheInitializer) {
  static std::atomic<bool> go{false};
  static std::atomic<bool> done{false};
  ProcessPool pool = one_worker_after([] {
    std::thread([] {
      while (!go) std::this_thread::yield();
      handle_sigusr1();
      done = true;
      sleep_for_ever();
    }).detach();
  });
  const pid_t worker = pool.submit(::getpid).getResult();
  call_quietly(pool);
  pool.submit([] {
        go = true;
        while (!done) {
        }
      })
      .getResult();
  EXPECT_NE(pool.submit(::getpid).getResult(), worker);
}

// --- What a call does to the watch ---

TEST_F(PoolSystemCalls, AreSeenAfterAFunctionThatEndsTheWatch) {
  const pid_t worker = later_call(::getpid);
  later_call(end_dispatch);
  EXPECT_EQ(later_call(::getpid), worker);
  later_call(end_dispatch);
  later_call(handle_sigusr1);
  EXPECT_NE(later_call(::getpid), worker);
}

TEST_F(PoolSystemCalls, LeaveSigsysThatComesFromElsewhereTheEndOfTheCall) {
  const auto die = [] { ::raise(SIGSYS); };
  try {
    later_call(die);
    FAIL();
  } catch (const WorkerCrashed& crash) {
    EXPECT_EQ(crash.signal(), SIGSYS);
  }
}

}  // namespace
}  // namespace killable::test
