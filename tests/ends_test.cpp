#include <killable/killable.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/ends.hpp"
#include "support/fixture.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Ends : public NothingIsLeft {};

/// How a call ended otherwise than by returning or throwing.
template <class Error, class... Call>
Error error_of(const Call&... arguments) {
  try {
    call(arguments...);
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("the call ended well");
}

void wait_for(std::string file) {
  while (::access(file.c_str(), F_OK) != 0) ::usleep(1000);
}

// --- exit ---

class ExitStatus : public NothingIsLeft, public ::testing::WithParamInterface<int> {};

TEST_P(ExitStatus, OfExitIsReportedExactly) {
  KillableThread thread([](int status) { std::exit(status); }, GetParam());
  thread.start();
  thread.join();
  EXPECT_EQ(thread.state(), State::exited);
  EXPECT_EQ(thread.report().exit_code, GetParam());
  EXPECT_EQ(thread.report().signal, std::nullopt);
}

TEST_P(ExitStatus, OfUnderscoreExitIsReportedExactly) {
  const auto exited =
      error_of<WorkerExited>([](int status) { ::_exit(status); }, GetParam());
  EXPECT_EQ(exited.exit_code(), GetParam());
  EXPECT_EQ(exited.report().state, State::exited);
  EXPECT_THAT(exited.what(), HasSubstr("exit status " + std::to_string(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(All, ExitStatus, ::testing::Values(0, 1, 8, 99, 255),
                         ::testing::PrintToStringParamName());

TEST_F(Ends, ExitIsToldFromReturned) {
  KillableThread returns([] {});
  KillableThread exits([] { std::exit(0); });
  returns.start();
  exits.start();
  EXPECT_NO_THROW(returns.getResult());
  EXPECT_THROW(exits.getResult(), WorkerExited);
  EXPECT_EQ(returns.state(), State::returned);
  EXPECT_EQ(exits.state(), State::exited);
}

TEST_F(Ends, ExitRunsTheHandlersOfAtexit) {
  const auto leave = [](std::string file) {
    static std::string at_exit;
    at_exit = file;
    std::atexit([] { signal_file(at_exit); });
    std::exit(3);
  };
  EXPECT_EQ(error_of<WorkerExited>(leave, path("left")).exit_code(), 3);
  await_file(path("left"));
}

TEST_F(Ends, ExitFromAnotherThreadOfTheFunctionIsAnExit) {
  const auto leave = [] {
    std::thread([] { ::_exit(5); }).detach();
    for (;;) ::pause();
  };
  EXPECT_EQ(error_of<WorkerExited>(leave).exit_code(), 5);
}

// --- Crashes ---

struct Fault {
  int signal;
  const char* name;
  void (*function)();
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

// Not through a null pointer, which the sanitizers would stop before the kernel does.
void fault_segv() {
  const volatile std::uintptr_t nowhere = 64;
  *reinterpret_cast<volatile int*>(nowhere) = 1;
}
void fault_abort() { std::abort(); }
void fault_bus() {
  // A page of a file that ends before it.
  std::FILE* file = std::tmpfile();
  void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, ::fileno(file), 0);
  const volatile char first = *static_cast<volatile char*>(page);
  static_cast<void>(first);
}
template <int kSignal>
void raise_it() {
  ::raise(kSignal);
}

class Crash : public NothingIsLeft, public ::testing::WithParamInterface<Fault> {};

TEST_P(Crash, IsReportedByNumberAndName) {
  const auto crashed = error_of<WorkerCrashed>(GetParam().function);
  EXPECT_EQ(crashed.signal(), GetParam().signal);
  EXPECT_EQ(crashed.report().state, State::crashed);
  EXPECT_EQ(crashed.report().signal, GetParam().signal);
  EXPECT_EQ(crashed.report().exit_code, std::nullopt);
  EXPECT_THAT(crashed.what(), HasSubstr(GetParam().name));
  EXPECT_THAT(crashed.what(), HasSubstr(std::to_string(GetParam().signal)));
}

INSTANTIATE_TEST_SUITE_P(Faults, Crash,
                         ::testing::Values(Fault{SIGSEGV, "SIGSEGV", fault_segv},
                                           Fault{SIGABRT, "SIGABRT", fault_abort},
                                           Fault{SIGBUS, "SIGBUS", fault_bus}));
INSTANTIATE_TEST_SUITE_P(Raised, Crash,
                         ::testing::Values(Fault{SIGILL, "SIGILL", raise_it<SIGILL>},
                                           Fault{SIGFPE, "SIGFPE", raise_it<SIGFPE>},
                                           Fault{SIGHUP, "SIGHUP", raise_it<SIGHUP>},
                                           Fault{SIGPIPE, "SIGPIPE", raise_it<SIGPIPE>},
                                           Fault{SIGKILL, "SIGKILL", raise_it<SIGKILL>}));

TEST_F(Ends, ACrashBySignalWithoutANameIsReportedByItsNumber) {
  const auto crashed = error_of<WorkerCrashed>([] { ::raise(SIGRTMIN + 3); });
  EXPECT_EQ(crashed.signal(), SIGRTMIN + 3);
  EXPECT_THAT(crashed.what(), HasSubstr(std::to_string(SIGRTMIN + 3)));
}

/// Not a tail call: each level keeps its bytes on the stack.
int recurse(int depth) {
  volatile char bytes[4096];
  bytes[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : recurse(depth + 1) + bytes[0];
}

TEST_F(Ends, AStackOverflowIsACrash) {
  EXPECT_EQ(error_of<WorkerCrashed>(recurse, 0).signal(), SIGSEGV);
}

void throw_not_caught() { throw std::runtime_error("not caught"); }

TEST_F(Ends, AnExceptionOutOfANoexceptFunctionIsACrash) {
  const auto throws = []() noexcept { throw_not_caught(); };
  EXPECT_EQ(error_of<WorkerCrashed>(throws).signal(), SIGABRT);
}

TEST_F(Ends, AnExceptionOutOfAnotherThreadIsACrash) {
  const auto throws = [] { std::thread(throw_not_caught).join(); };
  EXPECT_EQ(error_of<WorkerCrashed>(throws).signal(), SIGABRT);
}

TEST_F(Ends, ACrashInAnotherThreadEndsTheCall) {
  const auto crash = [] {
    std::thread([] { ::raise(SIGSEGV); }).detach();
    for (;;) ::pause();
  };
  EXPECT_EQ(error_of<WorkerCrashed>(crash).signal(), SIGSEGV);
}

TEST_F(Ends, ASignalFromElsewhereIsACrashAndNotOurKill) {
  for (const int signal : {SIGKILL, SIGTERM, SIGINT}) {
    KillableThread thread(
        [](std::string file) {
          signal_file(file);
          for (;;) ::pause();
        },
        path("ready" + std::to_string(signal)));
    thread.start();
    await_file(path("ready" + std::to_string(signal)));
    ASSERT_EQ(::kill(thread.get_id(), signal), 0);
    thread.join();
    EXPECT_EQ(thread.state(), State::crashed);
    EXPECT_EQ(thread.report().signal, signal);
  }
}

TEST_F(Ends, OnlyTheCallThatCrashesEnds) {
  KillableThread bystander(
      [](std::string file) {
        wait_for(file);
        return 7;
      },
      path("go"));
  bystander.start();
  for (const auto function :
       {fault_segv, fault_abort, raise_it<SIGKILL>, +[] { std::exit(1); }})
    EXPECT_THROW(call(function), Error);
  EXPECT_TRUE(bystander.is_alive());
  signal_file(path("go"));
  EXPECT_EQ(bystander.getResult(), 7);
}

// --- Around the function ---

/// Ends the process that decodes it, or that encodes it in a worker.
enum class When : std::uint8_t { decoding, encoding, destroying };
enum class How : std::uint8_t { crash, exit, hang };

void misbehave(How how) {
  switch (how) {
    case How::crash: ::raise(SIGSEGV); break;
    case How::exit: ::_exit(8); break;
    case How::hang:
      for (;;) ::pause();
  }
}

struct Mine {
  Mine() = default;
  Mine(When w, How h) : when(w), how(h) {}
  Mine(const Mine&) = default;
  Mine(Mine&& other) noexcept : when(other.when), how(other.how) { other.armed = false; }
  Mine& operator=(const Mine&) = default;
  ~Mine() { blow(When::destroying); }

  /// The tests' own process is not to end.
  void blow(When now) const {
    if (armed && when == now && this_worker::inside()) misbehave(how);
  }

  template <class Archive>
  void save(Archive& archive) const {
    blow(When::encoding);
    archive(when, how);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(when, how);
    blow(When::decoding);
  }

  When when = When::encoding;
  How how = How::crash;
  bool armed = true;  ///< Unless moved from.
};

void take(const Mine&) {}
Mine make(When when, How how) { return {when, how}; }

TEST_F(Ends, ACrashWhileItsArgumentsAreDecodedFailsTheCall) {
  EXPECT_EQ(error_of<WorkerCrashed>(take, Mine(When::decoding, How::crash)).signal(),
            SIGSEGV);
}

TEST_F(Ends, AnExitWhileItsArgumentsAreDecodedFailsTheCall) {
  EXPECT_EQ(error_of<WorkerExited>(take, Mine(When::decoding, How::exit)).exit_code(), 8);
}

TEST_F(Ends, ACrashWhileTheResultIsEncodedFailsTheCall) {
  EXPECT_EQ(error_of<WorkerCrashed>(make, When::encoding, How::crash).signal(), SIGSEGV);
}

TEST_F(Ends, AnExitWhileTheResultIsEncodedFailsTheCall) {
  EXPECT_EQ(error_of<WorkerExited>(make, When::encoding, How::exit).exit_code(), 8);
}

TEST_F(Ends, ACrashInADestructorAfterTheResultWasCommittedDeliversTheResult) {
  for (const How how : {How::crash, How::exit}) {
    KillableThread thread(make, When::destroying, how);
    thread.start();
    EXPECT_EQ(thread.getResult().how, how);
    const Report report = thread.report();
    EXPECT_EQ(report.state, State::returned);
    if (how == How::crash)
      EXPECT_EQ(report.signal, SIGSEGV);
    else
      EXPECT_EQ(report.exit_code, 8);
  }
}

TEST_F(Ends, ACrashInAnArgumentsDestructorAfterTheResultWasCommittedDeliversTheResult) {
  const auto answer = [](const Mine&) { return 42; };
  EXPECT_EQ(call(answer, Mine(When::destroying, How::crash)), 42);
}

TEST_F(Ends, ADestructorThatHangsAfterTheResultWasCommittedDeliversTheResult) {
  KillableThread thread({.grace_period = 20ms}, make, When::destroying, How::hang);
  thread.start();
  EXPECT_EQ(thread.getResult().how, How::hang);
  EXPECT_EQ(thread.report().state, State::returned);
  EXPECT_EQ(thread.report().signal, SIGKILL);
}

struct Thrower {
  int value = 0;
  ~Thrower() noexcept(false) {
    if (this_worker::inside()) throw std::runtime_error("thrown by a destructor");
  }
};

TEST_F(Ends, ADestructorThatThrowsAfterTheResultWasCommittedDeliversTheResult) {
  EXPECT_EQ(call([](int n) { return Thrower{n}; }, 42).value, 42);
}

// --- Workers that do not want to end ---

TEST_F(Ends, AWorkerWhoseFunctionLeavesItsThreadByPthreadExitStillEnds) {
  const auto leave = [] {
    std::thread([] {
      for (;;) ::pause();
    }).detach();
    ::pthread_exit(nullptr);
  };
  EXPECT_EQ(error_of<WorkerExited>(leave).exit_code(), 0);
}

/// Traced by its own child, which holds on to it.
void be_traced(std::string file) {
  const pid_t self = ::getpid();
  if (::fork() == 0) {
    const bool traces = ::ptrace(PTRACE_ATTACH, self, nullptr, nullptr) == 0 &&
                        ::waitpid(self, nullptr, __WALL) == self;
    signal_file(file, traces ? "1" : "0");
    for (;;) ::pause();
  }
  for (;;) ::pause();
}

TEST_F(Ends, AWorkerThatIsTracedByItsOwnChildStillEnds) {
  for (const auto grace : {0ms, 20ms}) {
    const std::string file = path("traced" + std::to_string(grace.count()));
    KillableThread thread({.grace_period = grace}, be_traced, file);
    thread.start();
    ASSERT_EQ(await_file(file), "1") << "ptrace(2) is not permitted here";
    thread.kill();
    EXPECT_TRUE(ends_killed(thread));
  }
}

TEST_F(Ends, AWorkerThatIsTracedByItsOwnChildEndsAlsoByASignalFromElsewhere) {
  KillableThread thread(be_traced, path("traced"));
  thread.start();
  ASSERT_EQ(await_file(path("traced")), "1") << "ptrace(2) is not permitted here";
  ASSERT_EQ(::kill(thread.get_id(), SIGKILL), 0);
  EXPECT_TRUE(ends(thread));
  EXPECT_EQ(thread.state(), State::crashed);
}

TEST_F(Ends, WhatTracesAWorkerDoesNotOutliveItsReturn) {
  const auto seized = [](std::string file) {
    const pid_t self = ::getpid();
    if (::fork() == 0) {
      signal_file(file, std::to_string(::ptrace(PTRACE_SEIZE, self, nullptr, nullptr)));
      for (;;) ::pause();
    }
    wait_for(file);
    return 7;
  };
  KillableThread thread(seized, path("seized"));
  thread.start();
  ASSERT_EQ(await_file(path("seized")), "0") << "ptrace(2) is not permitted here";
  EXPECT_EQ(thread.getResult(), 7);
  EXPECT_TRUE(eventually([] { return strays().empty(); }));
  EXPECT_EQ(thread.report().exit_code, 0);
}

}  // namespace
}  // namespace killable::test
