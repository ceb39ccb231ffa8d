#include "support/family.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/processes.hpp"

namespace killable::test {

namespace {

namespace fs = std::filesystem;

/// Runs `child` in a child of the caller or, daemonised, of whoever adopts it.
template <class Child>
void fork_off(Daemonise daemonise, Child child) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (daemonise == Daemonise::yes && ::fork() != 0) ::_exit(0);
    child();
    ::_exit(0);
  }
  if (daemonise == Daemonise::yes) ::waitpid(pid, nullptr, 0);
}

void announce(const std::string& directory) {
  signal_file(directory + "/" + std::to_string(::getpid()));
}

bool take_token(int tokens) {
  sembuf take{.sem_num = 0, .sem_op = -1, .sem_flg = IPC_NOWAIT | SEM_UNDO};
  return ::semop(tokens, &take, 1) == 0;
}

bool has_tokens(int tokens) { return ::semctl(tokens, 0, GETVAL) > 0; }

/// `left` counts down in memory that all of them share.
[[noreturn]] void explode(int tokens, std::atomic<int>& left) {
  while (left > 0) {
    if (!has_tokens(tokens)) continue;
    --left;
    if (::fork() == 0 && !take_token(tokens)) ::_exit(0);
  }
  sleep_for_ever();
}

}  // namespace

void found_lineage(const std::string& path) {
  const int lock = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) ::abort();
  // Stays open: whoever inherits the descriptor holds the lock.
}

bool is_extinct(const std::string& path) {
  const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  EXPECT_NE(lock, -1) << path;
  const bool extinct = ::flock(lock, LOCK_EX | LOCK_NB) == 0;
  ::close(lock);
  return extinct;
}

void make_generations(const std::string& directory, int generations,
                      Daemonise daemonise) {
  if (generations == 0) return;
  fork_off(daemonise, [&] {
    ::setsid();
    ignore_every_signal();
    make_generations(directory, generations - 1, daemonise);
    announce(directory);
    sleep_for_ever();
  });
}

void make_sibling(const std::string& directory) {
  if (::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr) !=
      0)
    return;
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);  // As in make_tracer().
  ::setsid();
  ignore_every_signal();
  announce(directory);
  sleep_for_ever();
}

void make_hopper(const std::string& directory, int hops) {
  fork_off(Daemonise::no, [&] {
    ignore_every_signal();
    announce(directory);
    for (int hop = 0; hop < hops; ++hop)
      if (::fork() != 0) ::_exit(0);
    sleep_for_ever();
  });
}

Tokens::Tokens(int count) : id_(::semget(IPC_PRIVATE, 1, 0600)) {
  // The kernel's union semun is for the caller to define; only the int of it is used.
  EXPECT_EQ(::semctl(id_, 0, SETVAL, count), 0);
}

Tokens::~Tokens() { ::semctl(id_, 0, IPC_RMID); }

void make_fork_bomb(int tokens, int total) {
  void* const shared = ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& left = *new (shared) std::atomic<int>(total);
  fork_off(Daemonise::yes, [&] {
    ::setsid();
    ignore_every_signal();
    explode(tokens, left);
  });
  while (has_tokens(tokens)) ::usleep(1000);
}

void make_tracer(const std::string& directory, Daemonise daemonise) {
  const pid_t traced = ::getpid();
  // Where the Yama module asks for it. See prctl(2).
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  fork_off(daemonise, [&] {
    ignore_every_signal();
    await_file(directory + "/go");
    if (::ptrace(PTRACE_SEIZE, traced, nullptr, nullptr) == 0) announce(directory);
    sleep_for_ever();
  });
  // Not earlier: a SIGCHLD would stop the traced process until its tracer had seen it.
  signal_file(directory + "/go");
  await_family(directory, 1);
}

std::vector<pid_t> await_family(const std::string& directory, std::size_t count) {
  std::vector<pid_t> family;
  EXPECT_TRUE(eventually([&] {
    family.clear();
    for (const auto& entry : fs::directory_iterator(directory)) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") == std::string::npos)
        family.push_back(std::stoi(name));
    }
    return family.size() == count;
  })) << family.size();
  return family;
}

std::size_t count_alive(const std::vector<pid_t>& processes) {
  return static_cast<std::size_t>(std::ranges::count_if(processes, is_alive));
}

}  // namespace killable::test
