#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <vector>

#include "support/ends.hpp"
#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/processes.hpp"
#include "support/session_processes.hpp"

/// How many fork servers a host has: one, unless its workers are too many for that.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Sessions : public NothingIsLeft {};

/// More than one fork server looks after.
std::vector<KillableThread<void>> start_many() {
  constexpr std::size_t kMany = 310;
  std::vector<KillableThread<void>> sleepers;
  for (std::size_t i = 0; i < kMany; ++i) {
    sleepers.emplace_back(sleep_for_ever);
    sleepers.back().start();
  }
  return sleepers;
}

void end_all(std::vector<KillableThread<void>>& calls) {
  for (auto& call : calls) call.kill(0ms);
  calls.clear();
}

TEST_F(Sessions, AreMoreWhileOneHasTooManyWorkers) {
  const pid_t first = call(::getppid);
  std::vector<KillableThread<void>> sleepers = start_many();
  EXPECT_EQ(all_sessions().size(), 2u);
  const pid_t second = call(::getppid);
  EXPECT_NE(second, first);
  end_all(sleepers);
  EXPECT_EQ(call(::getppid), first);
  EXPECT_TRUE(eventually([&] { return !is_alive(second); }));
}

TEST_F(Sessions, TheLossOfOneLeavesTheCallsOfTheOther) {
  const pid_t first = call(::getppid);
  std::vector<KillableThread<void>> sleepers = start_many();
  end_process(first);
  EXPECT_TRUE(ends_as(State::lost, sleepers.front()));
  EXPECT_TRUE(sleepers.back().is_alive());
  EXPECT_NE(call(::getppid), first);
  end_all(sleepers);
}

}  // namespace
}  // namespace killable::test
