// What the machine itself takes: no implementation of the library can be faster.

#include <killable/killable.hpp>

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "os/unique_fd.hpp"
#include "processors.hpp"
#include "samples.hpp"

namespace killable::bench {

namespace {

using os::UniqueFd;

/// A page that a forked child shares.
template <class T>
class Shared {
 public:
  Shared()
      : memory_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    new (memory_) T();
  }
  ~Shared() { ::munmap(memory_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T* operator->() const { return static_cast<T*>(memory_); }

 private:
  void* memory_;
};

/// Forks a child that does `work` and exits.
template <class Work>
pid_t fork_to(Work work) {
  const pid_t child = ::fork();
  if (child == -1) throw std::runtime_error("cannot fork");
  if (child == 0) {
    work();
    ::_exit(0);
  }
  return child;
}

void reap(pid_t child) { ::waitpid(child, nullptr, 0); }

void thread_create_join(benchmark::State& state, const std::string& name, bool pause) {
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    if (pause) std::this_thread::sleep_for(kPause);
    stopwatch.start();
    std::thread([] {}).join();
    stopwatch.stop();
  }
}

// What forks is measured in a worker: it is small and clean, as the fork server is; this
// process has the memory of all benchmarks.

std::vector<double> forks_to_first_instruction(int forks) {
  std::vector<double> seconds;
  const Shared<std::atomic<Clock::time_point>> entered;
  for (int i = 0; i < forks; ++i) {
    std::this_thread::sleep_for(kPause);
    const Clock::time_point before = Clock::now();
    reap(fork_to([&] { entered->store(Clock::now()); }));
    seconds.push_back(Seconds(entered->load() - before).count());
  }
  return seconds;
}

/// Time for each of 200 processes of which `in_flight` live at once.
template <int in_flight>
std::vector<double> forks_and_exits(int rows) {
  constexpr int kProcesses = 200;
  std::vector<double> seconds;
  for (int row = 0; row < rows; ++row) {
    const Clock::time_point before = Clock::now();
    for (int forked = 0; forked < kProcesses; ++forked) {
      if (forked >= in_flight) ::wait(nullptr);
      fork_to([] {});
    }
    while (::wait(nullptr) > 0) {
    }
    seconds.push_back(Seconds(Clock::now() - before).count() / kProcesses);
  }
  return seconds;
}

/// From SIGKILL to the pidfd that tells of the death.
template <bool busy>
std::vector<double> sigkills_to_pidfd(int kills) {
  std::vector<double> seconds;
  for (int i = 0; i < kills; ++i) {
    const pid_t child = fork_to([] {
      while (busy) benchmark::ClobberMemory();
      ::pause();
    });
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    std::this_thread::sleep_for(kPause);
    pollfd fd{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const Clock::time_point before = Clock::now();
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    ::poll(&fd, 1, -1);
    seconds.push_back(Seconds(Clock::now() - before).count());
    reap(child);
  }
  return seconds;
}

void in_worker(benchmark::State& state, const std::string& name,
               std::vector<double> (*measure)(int), int events) {
  Stopwatch stopwatch(state, name);
  for (auto _ : state)
    for (const double seconds : call(measure, events)) stopwatch.add(Seconds(seconds));
}

/// A round trip between two pinned processes: `ask` here, `answer` there, for ever.
template <class Ask, class Answer>
void round_trip(benchmark::State& state, const std::string& name, bool apart, Ask ask,
                Answer answer) {
  const Pinned pinned(two_processors(apart)[0]);
  const std::array<int, 2> processors = two_processors(apart);
  const pid_t child = fork_to([&] {
    pin_to(processors[1]);
    for (;;) answer();
  });
  ask();
  Stopwatch stopwatch(state, name);
  for (auto _ : state) {
    stopwatch.start();
    ask();
    stopwatch.stop();
  }
  ::kill(child, SIGKILL);
  reap(child);
}

void eventfd_round_trip(benchmark::State& state, const std::string& name, bool apart) {
  const UniqueFd there(::eventfd(0, EFD_CLOEXEC));
  const UniqueFd back(::eventfd(0, EFD_CLOEXEC));
  std::uint64_t count = 0;
  round_trip(
      state, name, apart,
      [&] { ::eventfd_write(there.get(), 1), ::eventfd_read(back.get(), &count); },
      [&] { ::eventfd_read(there.get(), &count), ::eventfd_write(back.get(), 1); });
}

void post(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  word.store(value);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void await(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  for (std::uint32_t seen = word.load(); seen != value; seen = word.load())
    ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}

void futex_round_trip(benchmark::State& state, const std::string& name, bool apart) {
  struct Words {
    std::atomic<std::uint32_t> there{0};
    alignas(64) std::atomic<std::uint32_t> back{0};
  };
  const Shared<Words> words;
  std::uint32_t turn = 0;  // each process counts in a copy of its own
  round_trip(
      state, name, apart, [&] { post(words->there, ++turn), await(words->back, turn); },
      [&] { await(words->there, ++turn), post(words->back, turn); });
}

}  // namespace

void register_floors() {
  add("thread", 300, thread_create_join, false);
  add("thread, 1 ms pause", 200, thread_create_join, true);
  add("fork to first instruction", 1, in_worker, &forks_to_first_instruction, 200);
  add("fork+exit+wait, 1 in flight", 1, in_worker, &forks_and_exits<1>, 2);
  add("fork+exit+wait, 8 in flight", 1, in_worker, &forks_and_exits<8>, 2);
  add("SIGKILL to pidfd, asleep", 1, in_worker, &sigkills_to_pidfd<false>, 100);
  add("SIGKILL to pidfd, busy", 1, in_worker, &sigkills_to_pidfd<true>, 100);
  add("eventfd round trip, same processor", 2000, eventfd_round_trip, false);
  add("eventfd round trip, apart", 2000, eventfd_round_trip, true);
  add("futex round trip, same processor", 2000, futex_round_trip, false);
  add("futex round trip, apart", 2000, futex_round_trip, true);
}

}  // namespace killable::bench
