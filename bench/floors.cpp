// What the machine itself takes: no implementation of the library can be faster.

#include <killable/killable.hpp>

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
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
#include <utility>
#include <vector>

#include "os/spin.hpp"
#include "os/unique_fd.hpp"
#include "placement.hpp"
#include "samples.hpp"

namespace killable::bench {

namespace {

using os::UniqueFd;

constexpr std::array kApart{Placement::apart};

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

/// std::thread, but for where it begins: that of std::thread inherits the caller's.
class PlacedThread {
 public:
  explicit PlacedThread(Placement placement) {
    ::pthread_attr_init(&attributes_);
    const cpu_set_t processors = workers_processors(placement);
    ::pthread_attr_setaffinity_np(&attributes_, sizeof processors, &processors);
  }
  ~PlacedThread() { ::pthread_attr_destroy(&attributes_); }
  PlacedThread(const PlacedThread&) = delete;
  PlacedThread& operator=(const PlacedThread&) = delete;

  void create_and_join() const {
    pthread_t thread{};
    ::pthread_create(
        &thread, &attributes_, [](void*) -> void* { return nullptr; }, nullptr);
    ::pthread_join(thread, nullptr);
  }

 private:
  pthread_attr_t attributes_{};
};

enum class Before { nothing, pause, call };

/// After a call and a pause a thread finds the processors as a call does: idle, and with
/// somebody else's memory in their caches.
template <Before before>
std::vector<double> threads(Placement placement, int count) {
  if (before == Before::call)
    start_session(placement);
  else
    become_host(placement);
  const PlacedThread placed(placement);
  Stopwatch stopwatch;
  for (int i = 0; i < count; ++i) {
    if (before == Before::call) {
      call([] {});
      warm_up();
    }
    if (before != Before::nothing) std::this_thread::sleep_for(kPause);
    stopwatch.start();
    if (placement == Placement::apart)
      placed.create_and_join();
    else
      std::thread([] {}).join();
    stopwatch.stop();
  }
  return std::move(stopwatch).seconds();
}

/// A child begins where its parent runs: for one that is pinned, both placements are the
/// same.
std::vector<double> forks_to_first_instruction(Placement placement, int forks) {
  become_host(placement);
  Stopwatch stopwatch;
  const Shared<std::atomic<Clock::time_point>> entered;
  for (int i = 0; i < forks; ++i) {
    std::this_thread::sleep_for(kPause);
    const Clock::time_point before = Clock::now();
    reap(fork_to([&] { entered->store(Clock::now()); }));
    stopwatch.add(entered->load() - before);
  }
  return std::move(stopwatch).seconds();
}

/// Time for each of 200 processes of which `in_flight` live at once.
template <int in_flight>
std::vector<double> forks_and_exits(Placement placement, int rows) {
  constexpr int kProcesses = 200;
  become_host(placement);
  Stopwatch stopwatch;
  for (int row = 0; row < rows; ++row) {
    stopwatch.start();
    for (int forked = 0; forked < kProcesses; ++forked) {
      if (forked >= in_flight) ::wait(nullptr);
      fork_to([] {});
    }
    while (::wait(nullptr) > 0) {
    }
    stopwatch.stop(kProcesses);
  }
  return std::move(stopwatch).seconds();
}

/// From SIGKILL to the pidfd that tells of the death.
template <bool busy>
std::vector<double> sigkills_to_pidfd(Placement placement, int kills) {
  become_host(placement);
  Stopwatch stopwatch;
  for (int i = 0; i < kills; ++i) {
    const pid_t child = fork_to([=] {
      become_worker(placement);
      while (busy) benchmark::ClobberMemory();
      ::pause();
    });
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    std::this_thread::sleep_for(2 * kPause);
    pollfd fd{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    stopwatch.start();
    ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    ::poll(&fd, 1, -1);
    stopwatch.stop();
    reap(child);
  }
  return std::move(stopwatch).seconds();
}

/// Round trips between two processes: `ask` here, `answer` there, for ever.
template <class Ask, class Answer>
std::vector<double> round_trips(Placement placement, int count, Ask ask, Answer answer) {
  become_host(placement);
  const pid_t child = fork_to([&] {
    become_worker(placement);
    for (;;) answer();
  });
  ask();
  Stopwatch stopwatch;
  for (int i = 0; i < count; ++i) {
    stopwatch.start();
    ask();
    stopwatch.stop();
  }
  ::kill(child, SIGKILL);
  reap(child);
  return std::move(stopwatch).seconds();
}

std::vector<double> eventfd_round_trips(Placement placement, int count) {
  const UniqueFd there(::eventfd(0, EFD_CLOEXEC));
  const UniqueFd back(::eventfd(0, EFD_CLOEXEC));
  std::uint64_t value = 0;
  return round_trips(
      placement, count,
      [&] { ::eventfd_write(there.get(), 1), ::eventfd_read(back.get(), &value); },
      [&] { ::eventfd_read(there.get(), &value), ::eventfd_write(back.get(), 1); });
}

void post(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  word.store(value);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void await(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  for (std::uint32_t seen = word.load(); seen != value; seen = word.load())
    ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}

struct Words {
  std::atomic<std::uint32_t> there{0};
  alignas(64) std::atomic<std::uint32_t> back{0};
};

std::vector<double> futex_round_trips(Placement placement, int count) {
  const Shared<Words> words;
  std::uint32_t turn = 0;  // each process counts in a copy of its own
  return round_trips(
      placement, count, [&] { post(words->there, ++turn), await(words->back, turn); },
      [&] { await(words->there, ++turn), post(words->back, turn); });
}

/// As a pool does it: back comes an eventfd, beside which a pidfd can be polled.
std::vector<double> doorbell_round_trips(Placement placement, int count) {
  const Shared<Words> words;
  const UniqueFd bell(::eventfd(0, EFD_CLOEXEC));
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  std::uint32_t turn = 0;
  std::uint64_t value = 0;
  return round_trips(
      placement, count,
      [&] {
        post(words->there, ++turn);
        pollfd fds[]{{.fd = bell.get(), .events = POLLIN, .revents = 0},
                     {.fd = pidfd.get(), .events = POLLIN, .revents = 0}};
        ::poll(fds, 2, -1);
        ::eventfd_read(bell.get(), &value);
      },
      [&] { await(words->there, ++turn), ::eventfd_write(bell.get(), 1); });
}

/// On one processor each turn would take a time slice.
std::vector<double> spinning_round_trips(Placement placement, int count) {
  const Shared<Words> words;
  std::uint32_t turn = 0;
  const auto spin = [](const std::atomic<std::uint32_t>& word, std::uint32_t value) {
    while (word.load() != value) os::relax();
  };
  return round_trips(
      placement, count, [&] { words->there.store(++turn), spin(words->back, turn); },
      [&] { spin(words->there, ++turn), words->back.store(turn); });
}

}  // namespace

void register_floors() {
  add("thread", 300, threads<Before::nothing>, kPlacements);
  add("thread, after a pause", 200, threads<Before::pause>, kPlacements);
  add("thread, amid calls", 200, threads<Before::call>, kPlacements);
  add("fork to first instruction", 200, forks_to_first_instruction, kPlacements);
  add("fork+exit+wait, 1 in flight", 2, forks_and_exits<1>);
  add("fork+exit+wait, 8 in flight", 2, forks_and_exits<8>, kPlacements);
  add("SIGKILL to pidfd, asleep", 100, sigkills_to_pidfd<false>, kPlacements);
  add("SIGKILL to pidfd, busy", 100, sigkills_to_pidfd<true>, kPlacements);
  add("eventfd round trip", 2000, eventfd_round_trips, kPlacements);
  add("futex round trip", 2000, futex_round_trips, kPlacements);
  add("futex and doorbell round trip", 2000, doorbell_round_trips, kPlacements);
  add("spinning round trip", 2000, spinning_round_trips, kApart);
}

}  // namespace killable::bench
