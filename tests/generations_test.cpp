#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "channel/inbox.hpp"
#include "channel/mapping.hpp"
#include "os/deadline.hpp"
#include "support/child_host.hpp"
#include "support/ends.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/sanitizers.hpp"
#include "support/session_processes.hpp"
#include "support/slot_access.hpp"
#include "wire/exec_format.hpp"
#include "wire/slot_format.hpp"

/// Whatever is used again carries a number: nothing that an earlier call has left on its
/// way, be it a result, a wake, a timeout, a stop or the report of an end, reaches a
/// later one. Each test puts one of these where it is not expected.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Generations : public NothingIsLeft {};

constexpr int kForged = -1;

int same(int n) { return n; }

/// What a commit of this worker for `call` looks like. Requires: it has committed call 1.
std::uint64_t own_word(wire::CallNumber call) {
  const wire::WorkerId id = slot_entry(1).commit.load() ^ wire::commit_word(0, 1);
  return wire::commit_word(id, call);
}

/// Rings, and returns when the host has heard it and looked: it has not done with the
/// first when it hears the second.
void ring_until_seen() {
  for (int i = 0; i < 3; ++i) {
    ring();
    while (os::is_ready(wire::kBellFd, POLLIN)) ::usleep(100);
  }
}

/// Publishes an int as the result of a call, with that commit word.
void commit(wire::CallNumber call, std::uint64_t word, int value) {
  const auto bytes = std::as_writable_bytes(std::span(&value, 1));
  std::ranges::copy(bytes, result_place(sizeof value, call));
  wire::SlotEntry& entry = slot_entry(call);
  entry.kind.store(static_cast<std::uint32_t>(wire::ResultKind::value));
  entry.length.store(sizeof value);
  entry.commit.store(word);
}

/// An argument that does something in the worker when the call is over: it is destroyed
/// after the commit.
template <void (*act)(const std::string&)>
struct Afterwards {
  std::string file;

  Afterwards() = default;
  explicit Afterwards(std::string about) : file(std::move(about)) {}
  Afterwards(Afterwards&& other) noexcept : file(std::exchange(other.file, {})) {}
  Afterwards& operator=(Afterwards&&) = delete;
  ~Afterwards() {
    if (!file.empty() && this_worker::inside()) act(file);
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(file);
  }
};

// --- Results and bells ---

TEST_F(Generations, AResultThatIsCommittedAgainIsNotTheNextCalls) {
  ProcessPool pool({.workers = 1});
  EXPECT_EQ(pool.submit(same, 1).getResult(), 1);
  auto call = pool.submit(
      [](int n) {
        commit(1, own_word(1), kForged);
        ring_until_seen();
        return n;
      },
      2);
  EXPECT_EQ(call.getResult(), 2);
}

/// Call 2 commits with the word of `call`.
void expect_a_violation_of(wire::CallNumber call) {
  ProcessPool pool({.workers = 1});
  pool.submit(same, 1).getResult();
  auto second = pool.submit(
      [](wire::CallNumber forged) {
        commit(2, own_word(forged), kForged);
        ring();
        sleep_for_ever();
        return 2;
      },
      call);
  EXPECT_THROW(second.getResult(), ProtocolViolation);
  EXPECT_EQ(pool.submit(same, 3).getResult(), 3);
}

TEST_F(Generations, AResultOfAnOlderCallIsAProtocolViolation) {
  expect_a_violation_of(1);
}

TEST_F(Generations, AResultOfACallToComeIsAProtocolViolation) {
  expect_a_violation_of(3);
}

/// Once the host has the result of call 1.
void commit_ahead(const std::string& file) {
  await_file(file);
  commit(2, own_word(2), kForged);
  signal_file(file + ".done");
}

TEST_F(Generations, AResultThatIsCommittedAheadIsNotTheNextCalls) {
  using Argument = Afterwards<commit_ahead>;
  ProcessPool pool({.workers = 1});
  auto first = pool.submit([](const Argument&) { return 1; }, Argument(path("taken")));
  EXPECT_EQ(first.getResult(), 1);
  signal_file(path("taken"));
  await_file(path("taken.done"));
  EXPECT_EQ(pool.submit(same, 2).getResult(), 2);
  EXPECT_EQ(pool.stats().recycled, 1u);
}

void ring_late(const std::string& file) {
  await_file(file);
  ring_until_seen();
}

TEST_F(Generations, ABellThatRingsLateIsNotTheNextCalls) {
  using Argument = Afterwards<ring_late>;
  ProcessPool pool({.workers = 1});
  auto first = pool.submit([](const Argument&) { return 1; }, Argument(path("posted")));
  EXPECT_EQ(first.getResult(), 1);
  auto second = pool.submit(same, 2);
  signal_file(path("posted"));
  EXPECT_EQ(second.getResult(), 2);
  EXPECT_EQ(pool.stats().recycled, 0u);
}

TEST_F(Generations, ABellThatRingsForEverWithoutAResultIsAProtocolViolation) {
  ProcessPool pool({.workers = 1});
  auto call = pool.submit([] {
    for (;;) ring();
  });
  ASSERT_TRUE(ends(call));
  EXPECT_THROW(call.getResult(), ProtocolViolation);
  EXPECT_EQ(pool.submit(same, 2).getResult(), 2);
}

/// Wakes one who waits on `word`; 0 if nobody does.
int wake(const std::atomic<std::uint32_t>& word) {
  return static_cast<int>(
      ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0));
}

TEST_F(Generations, AWakeWithoutACallIsNoCall) {
  channel::HostInbox host(4096);
  channel::WorkerInbox worker(host.memfd(), host.bytes());
  const channel::Mapping mapping(host.memfd(), channel::Mapping::Access::read_only,
                                 host.bytes(), "the inbox");
  const auto& header =
      *reinterpret_cast<const wire::InboxHeader*>(mapping.bytes().data());
  host.post({.name = "first", .max_result_bytes = 0, .arguments = {}});
  std::atomic<bool> has_call = false;
  std::jthread waiting([&] {
    worker.await_call(2);
    has_call = true;
    EXPECT_EQ(worker.call(2).name, "second");
  });
  // The second time it has gone back to wait after the first.
  int woken = 0;
  EXPECT_TRUE(eventually([&] {
    woken += wake(header.posted);
    return woken == 2 || has_call;
  }));
  EXPECT_FALSE(has_call);
  host.post({.name = "second", .max_result_bytes = 0, .arguments = {}});
  waiting.join();
  EXPECT_TRUE(has_call);
}

// --- Timeouts ---

/// Every timeout that was due before this has struck by the time that this returns.
void await_a_timeout() {
  EXPECT_THROW(call({.timeout = 20ms, .grace_period = 0ms}, sleep_for_ever), TimedOut);
}

int wait_for(std::string running, std::string go) {
  signal_file(running, std::to_string(::getpid()));
  await_file(go);
  return ::getpid();
}

/// Waits until `call` has signalled `file`. Fails at once if it ends before that.
void expect_to_run(KillableThread<int>& call, const std::string& file) {
  const auto is_there = [&] { return std::filesystem::exists(file); };
  EXPECT_TRUE(eventually([&] { return is_there() || !call.is_alive(); }));
  EXPECT_TRUE(is_there()) << to_string(call.state());
}

TEST_F(Generations, ATimeoutThatArrivesLateDoesNotStrikeTheNextCall) {
  ProcessPool pool({.workers = 1});
  const pid_t worker = pool.submit(::getpid).getResult();
  std::optional<StoppedSession> stopped(the_session());
  EXPECT_EQ(pool.submit({.timeout = 1ms}, ::getpid).getResult(), worker);
  auto next = pool.submit(wait_for, path("running"), path("go"));
  EXPECT_EQ(pool.stats().running, 0u);
  stopped.reset();
  expect_to_run(next, path("running"));
  await_a_timeout();
  signal_file(path("go"));
  EXPECT_EQ(next.getResult(), worker);
}

TEST_F(Generations, ATimeoutThatStrikesAfterTheResultCostsTheNextCallNothing) {
  if (!kThreadsAfterFork) GTEST_SKIP() << "ThreadSanitizer allows no thread in a child";
  ChildHost host([&] {
    ProcessPool pool({.workers = 1});
    EXPECT_EQ(pool.submit(same, 1).getResult(), 1);
    // It ends while this process is stopped, and so does the time.
    auto call = pool.submit({.timeout = 2s, .grace_period = 0ms}, wait_for,
                            path("running"), path("go"));
    await_file(path("go"));
    EXPECT_GT(call.getResult(), 1);
    EXPECT_EQ(pool.submit(same, 3).getResult(), 3);
  });
  const pid_t worker = await_pid(path("running"));
  host.stop();
  signal_file(path("go"));
  EXPECT_TRUE(eventually([&] { return !is_alive(worker); }));
  host.send_signal(SIGCONT);
  EXPECT_EQ(host.join(), 0);
}

// --- Stops and ends ---

TEST_F(Generations, AKillThatArrivesLateDoesNotHitTheNextCall) {
  ProcessPool pool({.workers = 1});
  auto first = pool.submit(wait_for, path("running"), path("go"));
  const pid_t worker = await_pid(path("running"));
  std::optional<StoppedSession> stopped(the_session());
  first.kill(1ms);
  signal_file(path("go"));
  EXPECT_EQ(first.getResult(), worker);
  auto next = pool.submit(wait_for, path("next"), path("end"));
  stopped.reset();
  expect_to_run(next, path("next"));
  await_a_timeout();
  signal_file(path("end"));
  EXPECT_NE(next.getResult(), worker);
}

TEST_F(Generations, AStopThatNobodyHasReadIsNotTheNextCalls) {
  ProcessPool pool({.workers = 1});
  auto first = pool.submit(wait_for, path("running"), path("go"));
  await_file(path("running"));
  EXPECT_TRUE(first.request_stop());
  signal_file(path("go"));
  first.getResult();
  // One that lies in the channel will stop it, if it has not yet.
  const auto is_stopped = [](std::stop_token token) {
    return token.stop_requested() || os::is_ready(wire::kChannelFd, POLLIN);
  };
  EXPECT_FALSE(pool.submit(is_stopped).getResult());
}

TEST_F(Generations, AReportOfAnEndThatComesLateIsNotTheNextCalls) {
  std::optional<KillableThread<int>> first(std::in_place, wait_for, path("first"),
                                           path("go"));
  first->start();
  await_file(path("first"));
  std::optional<StoppedSession> stopped(the_session());
  signal_file(path("go"));
  const pid_t earlier = first->getResult();
  first.reset();
  // A spare serves it: the fork server has not yet seen the first one end.
  KillableThread second(
      [](std::string running, std::string go) {
        wait_for(running, go);
        std::_Exit(3);
      },
      path("second"), path("end"));
  second.start();
  const pid_t later = await_pid(path("second"));
  EXPECT_NE(process_state(earlier), 0);
  stopped.reset();
  EXPECT_TRUE(eventually([&] { return process_state(earlier) == 0; }));
  // The fork server sends in order: what comes after the report has come.
  EXPECT_EQ(call(same, 3), 3);
  await_a_timeout();
  EXPECT_EQ(second.state(), State::running);
  signal_file(path("end"));
  EXPECT_THROW(second.getResult(), WorkerExited);
  EXPECT_EQ(second.report().pid, later);
  EXPECT_EQ(second.report().exit_code, 3);
}

}  // namespace
}  // namespace killable::test
