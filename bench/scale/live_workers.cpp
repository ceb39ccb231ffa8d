#include "live_workers.hpp"

#include <killable/killable.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace killable::bench {

namespace {

using namespace std::chrono_literals;

constexpr int kEvents = 200;

int answer(int question) { return question + 1; }

void sleep_for_ever() {
  for (;;) ::pause();
}

void tell_and_sleep(SharedArray<int> entered) {
  std::atomic_ref(entered[0]).store(1);
  sleep_for_ever();
}

std::vector<KillableThread<void>> start_sleepers(std::size_t count) {
  std::vector<KillableThread<void>> sleepers;
  for (std::size_t i = 0; i < count; ++i) {
    sleepers.emplace_back(sleep_for_ever);
    sleepers.back().start();
  }
  return sleepers;
}

/// Kills them side by side: one after the other is what their destructors do.
void end_all(std::vector<KillableThread<void>>& threads) {
  for (auto& thread : threads) thread.kill(0ms);
  for (auto& thread : threads) thread.join();
}

/// So that a spare is there, as in bench/calls.cpp.
void pause() { std::this_thread::sleep_for(1ms); }

void measure_calls(Times& times) {
  for (int i = 0; i < kEvents; ++i) {
    pause();
    time(times, [] { call(answer, 1); });
  }
}

void measure_pool_calls(Times& times) {
  ProcessPool pool({.workers = 1});
  pool.submit(answer, 1).join();
  for (int i = 0; i < kEvents; ++i) {
    pause();
    time(times, [&] { pool.submit(answer, 1).getResult(); });
  }
}

/// A call that its worker has entered.
KillableThread<void> make_victim() {
  const SharedArray<int> entered(1);
  KillableThread victim(tell_and_sleep, entered);
  victim.start();
  while (std::atomic_ref(entered[0]).load() == 0) std::this_thread::yield();
  return victim;
}

void measure_kills(AmongLive& result) {
  for (int i = 0; i < kEvents; ++i) {
    KillableThread<void> victim = make_victim();
    pause();
    const Clock::time_point started = Clock::now();
    victim.kill(0ms);
    try {
      victim.getResult();
    } catch (const Killed&) {
      result.killed.add(Clock::now() - started);
    }
    victim.join();
    result.joined.add(Clock::now() - started);
  }
}

double per_second(int events, Clock::duration time) {
  return events / std::chrono::duration<double>(time).count();
}

/// Eight in flight.
double call_rate() {
  constexpr std::size_t kInFlight = 8;
  std::vector<KillableThread<int>> running;
  const Clock::time_point began = Clock::now();
  for (int started = 0; started < kEvents || !running.empty();) {
    for (; started < kEvents && running.size() < kInFlight; ++started) {
      running.emplace_back(answer, 1);
      running.back().start();
    }
    const auto ended = running.begin() + static_cast<std::ptrdiff_t>(*wait_any(running));
    ended->getResult();
    running.erase(ended);
  }
  return per_second(kEvents, Clock::now() - began);
}

double kill_rate() {
  std::vector<KillableThread<void>> victims;
  for (int i = 0; i < kEvents; ++i) victims.push_back(make_victim());
  const Clock::time_point began = Clock::now();
  end_all(victims);
  return per_second(kEvents, Clock::now() - began);
}

/// Processor time of `process` for each of the events that `measure` makes.
template <class Measure>
double processor_us(pid_t process, Measure measure) {
  const auto before = processor_time_of(process);
  measure();
  return Microseconds(processor_time_of(process) - before).count() / kEvents;
}

Footprint average_of(const std::vector<KillableThread<void>>& threads) {
  Footprint sum;
  for (const auto& thread : threads) {
    const Footprint one = footprint_of(thread.get_id());
    sum.rss_kb += one.rss_kb;
    sum.pss_kb += one.pss_kb;
    sum.private_kb += one.private_kb;
    sum.descriptors += one.descriptors;
  }
  const auto count = static_cast<double>(threads.size());
  return {.rss_kb = sum.rss_kb / count,
          .pss_kb = sum.pss_kb / count,
          .private_kb = sum.private_kb / count,
          .descriptors = sum.descriptors / threads.size()};
}

/// That of the next call.
SessionProcesses current_session() {
  KillableThread<void> probe(sleep_for_ever);
  probe.start();
  return session_of(probe.get_id());
}

void take_footprints(AmongLive& result,
                     const std::vector<KillableThread<void>>& sleepers) {
  const SessionProcesses session = current_session();
  result.host = footprint_of(::getpid());
  result.guard = footprint_of(session.guard);
  result.fork_server = footprint_of(session.fork_server);
  result.worker = average_of(sleepers);
  result.host_mappings = mappings_of(::getpid());
  result.kernel_kb = kernel_kb();
}

}  // namespace

AmongLive measure_among(std::size_t live) {
  AmongLive result;
  result.live = live;
  std::vector<KillableThread<void>> sleepers = start_sleepers(live);
  warm_up();
  take_footprints(result, sleepers);
  const pid_t server = current_session().fork_server;
  result.host_us_per_call = processor_us(::getpid(), [&] {
    result.server_us_per_call = processor_us(server, [&] { measure_calls(result.call); });
  });
  measure_pool_calls(result.pool_call);
  result.server_us_per_kill = processor_us(server, [&] { measure_kills(result); });
  result.calls_per_second = call_rate();
  result.kills_per_second = kill_rate();
  end_all(sleepers);
  return result;
}

}  // namespace killable::bench
