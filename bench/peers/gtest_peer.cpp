// A GoogleTest death test: a process whose exit status comes back, and no result.
//
// Usage: gtest_peer fast|threadsafe

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "row.hpp"

namespace peers = killable::bench::peers;

TEST(DeathTest, IsMeasured) {
  std::vector<peers::Microseconds> events;
  for (int i = 0; i < 50; ++i)
    events.push_back(
        peers::timed([] { EXPECT_EXIT(::_exit(0), testing::ExitedWithCode(0), ""); }));
  peers::print_row("GoogleTest death test " + GTEST_FLAG_GET(death_test_style), "fresh",
                   events);
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  // The threadsafe style executes this program again and hands its flags on.
  if (argc == 2) GTEST_FLAG_SET(death_test_style, argv[1]);
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  return RUN_ALL_TESTS();
}
