#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "support/ends.hpp"
#include "support/eventually.hpp"
#include "support/fixture.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;

class Cancellation : public NothingIsLeft {};

/// Leaves a file behind as soon as it exists, and takes it away in its destructor.
struct Presence {
  explicit Presence(std::string p) : path(std::move(p)) {
    std::filesystem::create_directory(path);
  }
  ~Presence() { std::filesystem::remove(path); }
  std::string path;
};

/// Waits in the one cancellation point that the function has: what follows it would not
/// notice that the wait was cut short.
int wait_once(const std::string& path, bool by_sleep) {
  const Presence presence(path);
  if (by_sleep)
    ::sleep(3600);
  else
    ::poll(nullptr, 0, -1);
  return 1;
}

class OnlyWait : public Cancellation,
                 public ::testing::WithParamInterface<std::pair<StartMethod, bool>> {};

TEST_P(OnlyWait, UnwindsTheFunctionAndDoesNotReturnEarly) {
  const auto [start_method, by_sleep] = GetParam();
  KillableThread thread({.start_method = start_method, .grace_period = 1h}, wait_once,
                        path("presence"), by_sleep);
  thread.start();
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(path("presence")); }));
  thread.kill();
  EXPECT_TRUE(ends_killed(thread));
  EXPECT_FALSE(std::filesystem::exists(path("presence")));
}

INSTANTIATE_TEST_SUITE_P(Cancellation, OnlyWait,
                         ::testing::Values(std::pair(StartMethod::fork_server, true),
                                           std::pair(StartMethod::fork_server, false),
                                           std::pair(StartMethod::spawn, true),
                                           std::pair(StartMethod::spawn, false)));

}  // namespace
}  // namespace killable::test
