#include <killable/killable.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"

namespace killable::test {
namespace {

namespace fs = std::filesystem;

class PoolMap : public NothingIsLeft {};

int twice(int n) { return 2 * n; }

TEST_F(PoolMap, KeepsTheOrder) {
  ProcessPool pool({.workers = 2});
  std::vector<int> inputs(200);
  std::iota(inputs.begin(), inputs.end(), 0);
  const std::vector<int> results = pool.map(twice, inputs);
  for (std::size_t i = 0; i < inputs.size(); ++i) EXPECT_EQ(results[i], 2 * inputs[i]);
}

TEST_F(PoolMap, TakesAnEmptyRange) {
  ProcessPool pool({.workers = 2});
  EXPECT_TRUE(pool.map(twice, std::vector<int>{}).empty());
}

TEST_F(PoolMap, OfAFunctionWithoutAResult) {
  ProcessPool pool({.workers = 2});
  pool.map([](std::string file) { signal_file(file); },
           std::vector{path("a"), path("b")});
  await_file(path("a"));
  await_file(path("b"));
}

TEST_F(PoolMap, StopsAtTheFirstError) {
  ProcessPool pool({.workers = 1});
  const auto fail_at_two = [](int n) {
    if (n == 2) throw std::out_of_range("two");
    if (n > 2) sleep_for_ever();
    return n;
  };
  EXPECT_THROW(pool.map(fail_at_two, std::vector{0, 1, 2, 3, 4, 5}), std::out_of_range);
  EXPECT_EQ(pool.submit(twice, 1).getResult(), 2);
}

TEST_F(PoolMap, StartsNoMoreOnceOneHasFailed) {
  ProcessPool pool({.workers = 2});
  const auto fail_at_zero = [](int n, std::string directory) {
    if (n == 0) throw std::out_of_range("zero");
    signal_file(directory + "/" + std::to_string(n));
    sleep_for_ever();
  };
  const std::string directory = path("started");
  fs::create_directory(directory);
  std::vector<std::pair<int, std::string>> inputs;
  for (int n = 0; n < 20; ++n) inputs.emplace_back(n, directory);
  const auto of_pair = [](std::pair<int, std::string> input) {
    decltype(fail_at_zero){}(input.first, input.second);
  };
  EXPECT_THROW(pool.map(of_pair, inputs), std::out_of_range);
  // The other worker's, and the one that the first worker got next.
  EXPECT_LE(std::distance(fs::directory_iterator(directory), fs::directory_iterator()),
            2);
}

TEST_F(PoolMap, NeverQueuesMoreThanIsAllowed) {
  ProcessPool pool({.workers = 2, .max_queued = 1});
  std::vector<int> inputs(50, 7);
  EXPECT_EQ(pool.map(twice, inputs), std::vector<int>(50, 14));
}

}  // namespace
}  // namespace killable::test
