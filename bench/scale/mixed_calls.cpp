#include "mixed_calls.hpp"

#include <killable/killable.hpp>

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <utility>

#include "times.hpp"

namespace killable::bench {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kTenths = 10;

/// So many calls come before the first look, as everything has its size by then.
constexpr std::size_t kWarmUp = 1000;

/// A list node lost in each of 100,000 calls is more.
constexpr double kSlackKb = 1024;

constexpr double kMaxDrift = 2;

int answer(int question) { return question + 1; }

void sleep_for_ever() {
  for (;;) ::pause();
}

/// What a call should have done, it did not.
[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error("a call " + what);
}

template <class Expected, class R>
void expect(KillableThread<R>&& thread) {
  try {
    thread.getResult();
  } catch (const Expected&) {
    return;
  }
  fail("did not end as it should");
}

void expect_answer(KillableThread<int>&& thread) {
  if (thread.getResult() != 7) fail("returned another value");
}

template <class R>
KillableThread<R> killed(KillableThread<R>&& thread) {
  thread.kill();
  return std::move(thread);
}

/// Each gets its function to one kind of worker.
struct Fresh {
  template <class F, class... Args>
  auto operator()(F function, Args... args) const {
    KillableThread thread(function, args...);
    thread.start();
    return thread;
  }
};

struct Pooled {
  ProcessPool& pool;

  template <class F, class... Args>
  auto operator()(F function, Args... args) const {
    return pool.submit(function, args...);
  }
};

void run_value(const auto& start) { expect_answer(start(answer, 6)); }

void run_exception(const auto& start) {
  expect<std::out_of_range>(start([] { throw std::out_of_range("far"); }));
}

void run_crash(const auto& start) {
  expect<WorkerCrashed>(start([] { ::raise(SIGKILL); }));
}

void run_exit(const auto& start) {
  expect<WorkerExited>(start([] { std::_Exit(3); }));
}

void run_kill(const auto& start) { expect<Killed>(killed(start(sleep_for_ever))); }

/// The `i`th of the row: five kinds with workers of their own, then in a pool, and every
/// tenth is a kill of the one or the other.
void run_call(std::size_t i, const Fresh& fresh, const Pooled& pooled) {
  switch (i % 10) {
    case 0: return run_value(fresh);
    case 1: return run_value(pooled);
    case 2: return run_exception(fresh);
    case 3: return run_exception(pooled);
    case 4: return run_crash(fresh);
    case 5: return run_crash(pooled);
    case 6: return run_exit(fresh);
    case 7: return run_exit(pooled);
    case 8: return run_value(pooled);
    default: return i / 10 % 2 == 0 ? run_kill(fresh) : run_kill(pooled);
  }
}

LongRun::Part run_part(std::size_t first, std::size_t count, ProcessPool& pool) {
  Times times;
  for (std::size_t i = first; i < first + count; ++i)
    time(times, [&] { run_call(i, Fresh(), Pooled{pool}); });
  return {.median_us = times.median_us(), .p99_us = times.p99_us()};
}

/// Whether both workers of the pool are there and serve.
bool both_serve(ProcessPool& pool) {
  const auto nap = [] { std::this_thread::sleep_for(50ms); };
  auto first = pool.submit(nap);
  auto second = pool.submit(nap);
  bool at_once = false;
  while (first.is_alive() && second.is_alive() && !at_once)
    at_once = pool.stats().running == 2;
  first.join();
  second.join();
  return at_once;
}

std::array<Footprint, 3> footprints(const SessionProcesses& session) {
  return {footprint_of(::getpid()), footprint_of(session.guard),
          footprint_of(session.fork_server)};
}

/// Dead workers are let go of a moment after their calls; with nothing to do, all holds
/// what it holds for good. Waits for that.
std::array<Footprint, 3> settled_footprints(ProcessPool& pool,
                                            const SessionProcesses& session) {
  while (!both_serve(pool)) {
  }
  warm_up();
  std::this_thread::sleep_for(500ms);
  return footprints(session);
}

}  // namespace

std::vector<std::string> LongRun::complaints() const {
  std::vector<std::string> found;
  for (const Holder& holder : holders) {
    if (holder.after.private_kb > holder.before.private_kb + kSlackKb)
      found.push_back(holder.name + " has more memory");
    if (holder.after.descriptors > holder.before.descriptors)
      found.push_back(holder.name + " has more descriptors");
  }
  if (tenths.back().p99_us > kMaxDrift * tenths.front().p99_us)
    found.push_back("the last calls take longer than the first");
  return found;
}

LongRun run_mixed_calls(std::size_t calls) {
  ProcessPool pool({.workers = 2});
  run_part(0, kWarmUp, pool);
  const SessionProcesses session =
      session_of(pool.submit([] { return ::getpid(); }).getResult());
  const auto before = settled_footprints(pool, session);
  LongRun run;
  const std::size_t part = calls / kTenths;
  for (std::size_t i = 0; i < kTenths; ++i)
    run.tenths.push_back(run_part(i * part, part, pool));
  const auto after = settled_footprints(pool, session);
  run.holders = {{"host", before[0], after[0]},
                 {"guard", before[1], after[1]},
                 {"fork server", before[2], after[2]}};
  return run;
}

}  // namespace killable::bench
