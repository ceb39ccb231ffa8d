#include <killable/killable.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <fstream>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "support/available_memory.hpp"
#include "support/fixture.hpp"
#include "support/sanitizers.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace std::string_view_literals;
using ::testing::HasSubstr;

class Data : public NothingIsLeft {};

/// Takes any value and gives it back.
struct Echo {
  template <class T>
  T operator()(T value) const {
    return value;
  }
};

template <class T>
void expect_echoed(const T& value) {
  EXPECT_TRUE(call(Echo(), value) == value) << ::testing::PrintToString(value);
}

/// Bytes of which none repeats the one a page or a power of two before it.
std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i % 251);
  return bytes;
}

// --- Sizes ---

class Sizes : public NothingIsLeft, public ::testing::WithParamInterface<std::size_t> {};

constexpr std::size_t kPage = 4096;
constexpr std::size_t k64KiB = std::size_t{64} << 10;
/// What the host maps of a slot at first, without the slot's header.
constexpr std::size_t kWindow = k64KiB - kPage;

TEST_P(Sizes, CrossBothWays) {
  const std::string sent = pattern(GetParam());
  const std::string received = call(Echo(), sent);
  EXPECT_EQ(received.size(), sent.size());
  EXPECT_TRUE(received == sent);
}

TEST_P(Sizes, CrossAsViews) {
  const auto check = [](std::string_view seen) { return seen == pattern(seen.size()); };
  EXPECT_TRUE(call(check, pattern(GetParam())));
}

TEST_P(Sizes, CrossAsElementsLargerThanABytes) {
  std::vector<std::uint64_t> sent(GetParam() / 8 + 1);
  std::iota(sent.begin(), sent.end(), std::uint64_t{1} << 40);
  EXPECT_TRUE(call(Echo(), sent) == sent);
}

INSTANTIATE_TEST_SUITE_P(Of, Sizes,
                         ::testing::Values(0, 1, kPage - 1, kPage, kPage + 1, k64KiB - 1,
                                           k64KiB, k64KiB + 1));
INSTANTIATE_TEST_SUITE_P(OfTheWindow, Sizes,
                         ::testing::Values(kWindow - 9, kWindow - 8, kWindow - 7,
                                           kWindow - 1, kWindow, kWindow + 1));

TEST_F(Data, HundredMegabytesCrossBothWays) {
  const std::string sent = pattern(100'000'000);
  EXPECT_TRUE(call(Echo(), sent) == sent);
}

TEST_F(Data, TwoGigabytesAndMoreCrossBothWays) {
  constexpr std::size_t kSize = 2'200'000'000;
  constexpr std::uint64_t kNeeded = 4 * std::uint64_t{kSize};
  if (available_memory() < kNeeded)
    GTEST_SKIP() << "needs " << kNeeded << " bytes of memory; there are "
                 << available_memory();
  using Edges = std::tuple<std::size_t, char, char>;
  const auto look = [](std::string_view seen) {
    return Edges(seen.size(), seen.front(), seen.back());
  };
  const auto make = [](std::size_t size) {
    std::string made(size, '\0');
    made.front() = 'a';
    made.back() = 'z';
    return made;
  };
  {
    // Costs no memory here but for its edges.
    void* sparse = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(sparse, MAP_FAILED);
    const std::span sent(static_cast<char*>(sparse), kSize);
    sent.front() = 'a';
    sent.back() = 'z';
    EXPECT_EQ(call(look, std::string_view(sent.data(), kSize)), Edges(kSize, 'a', 'z'));
    ::munmap(sparse, kSize);
  }
  const Options raised{.max_result_bytes = kSize + 100};
  EXPECT_EQ(look(call(raised, make, kSize)), Edges(kSize, 'a', 'z'));
}

// --- max_result_bytes ---

TEST_F(Data, AResultBeyondMaxResultBytesIsAClearErrorAndNotATruncation) {
  const Options options{.max_result_bytes = 100'000};
  const auto make = [](std::size_t size) { return pattern(size); };
  KillableThread thread(options, make, 100'001);
  thread.start();
  try {
    thread.getResult();
    ADD_FAILURE() << "no error";
  } catch (const LimitExceeded& error) {
    EXPECT_THAT(error.what(), HasSubstr("100000"));
  }
  EXPECT_EQ(thread.state(), State::threw);
  EXPECT_TRUE(call(options, make, 90'000) == pattern(90'000));
}

TEST_F(Data, AResultOfJustMaxResultBytesCrosses) {
  const std::string expected = pattern(5000);
  const std::size_t encoded = expected.size() + sizeof(std::uint64_t);
  const auto make = [] { return pattern(5000); };
  EXPECT_EQ(call({.max_result_bytes = encoded}, make), expected);
  EXPECT_THROW(call({.max_result_bytes = encoded - 1}, make), LimitExceeded);
}

TEST_F(Data, NothingCrossesAlsoIfNoResultByteMay) {
  EXPECT_NO_THROW(call({.max_result_bytes = 0}, [] {}));
  EXPECT_THROW(call({.max_result_bytes = 0}, [] { return 1; }), LimitExceeded);
}

TEST_F(Data, ArgumentsMayBeLargerThanMaxResultBytes) {
  const auto size = [](std::string_view seen) { return seen.size(); };
  EXPECT_EQ(call({.max_result_bytes = 100}, size, pattern(1'000'000)), 1'000'000u);
}

TEST_F(Data, ALargerMaxResultBytesCostsNoMemory) {
  constexpr int kBits = kAddressSpaceIsLarge ? 40 : 36;
  EXPECT_EQ(call({.max_result_bytes = std::size_t{1} << kBits}, [] { return "small"s; }),
            "small");
}

// --- In place ---

/// Whether the memory lies in a mapping of a memfd of ours.
bool is_shared(const void* memory) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::sscanf(line.c_str(), "%lx-%lx", &begin, &end);
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    if (address >= begin && address < end)
      return line.find("memfd:killable") != std::string::npos;
  }
  return false;
}

TEST_F(Data, AStringViewSeesTheSharedMemoryInPlace) {
  const auto look = [](std::string_view text) {
    return std::pair(std::string(text), is_shared(text.data()));
  };
  EXPECT_EQ(call(look, "text"), std::pair("text"s, true));
  EXPECT_EQ(call(look, "with \0 zero"s), std::pair("with \0 zero"s, true));
}

TEST_F(Data, ASpanSeesTheSharedMemoryInPlaceAndAligned) {
  const auto sum = [](char, std::span<const double> numbers) {
    if (!is_shared(numbers.data())) throw std::logic_error("not in place");
    if (reinterpret_cast<std::uintptr_t>(numbers.data()) % alignof(double) != 0)
      throw std::logic_error("not aligned");
    return std::accumulate(numbers.begin(), numbers.end(), 0.0);
  };
  EXPECT_EQ(call(sum, 'x', std::vector{0.5, 1.5, 2.0}), 4.0);
}

TEST_F(Data, AViewCannotBeWrittenThrough) {
  const auto scribble = [](std::string_view text) {
    const_cast<char&>(text.front()) = 'X';
  };
  try {
    call(scribble, "text");
    ADD_FAILURE() << "the worker wrote into its arguments";
  } catch (const WorkerCrashed& crashed) {
    EXPECT_EQ(crashed.signal(), SIGSEGV);
  }
}

// --- Types ---

TEST_F(Data, NumbersCross) {
  expect_echoed(true);
  expect_echoed('x');
  expect_echoed(std::numeric_limits<std::int64_t>::min());
  expect_echoed(std::numeric_limits<std::uint64_t>::max());
  expect_echoed(0.1f);
  expect_echoed(-0.1);
  expect_echoed(std::complex(1.5, -2.5));
  expect_echoed(std::byte{7});
}

TEST_F(Data, StringsCross) {
  expect_echoed(""s);
  expect_echoed("with \0 zero"s);
  expect_echoed(u"sixteen"s);
  EXPECT_EQ(call(Echo(), "literal"), "literal");
  char array[] = "array";
  EXPECT_EQ(call(Echo(), array), "array");
}

TEST_F(Data, ContainersCross) {
  expect_echoed(std::vector{1, 2, 3});
  expect_echoed(std::vector{true, false});
  expect_echoed(std::vector{"a"s, ""s});
  expect_echoed(std::array{1.5, 2.5});
  expect_echoed(std::deque{1, 2});
  expect_echoed(std::list{"a"s, "b"s});
  expect_echoed(std::forward_list{1, 2});
  expect_echoed(std::set{3, 1, 2});
  expect_echoed(std::multiset{1, 1});
  expect_echoed(std::map<std::string, std::vector<int>>{{"a", {1, 2}}, {"b", {}}});
  expect_echoed(std::multimap<int, int>{{1, 2}, {1, 3}});
  expect_echoed(std::unordered_map<std::string, int>{{"a", 1}, {"b", 2}});
  expect_echoed(std::unordered_set{1, 2, 3});
  expect_echoed(std::bitset<70>("1011"));
}

TEST_F(Data, VocabularyTypesCross) {
  expect_echoed(std::optional<std::string>());
  expect_echoed(std::optional("text"s));
  expect_echoed(std::variant<int, std::string>("text"));
  expect_echoed(std::variant<std::monostate, int>());
  expect_echoed(std::pair("a"s, 1));
  expect_echoed(std::tuple(1, "a"s, 2.5));
  expect_echoed(std::filesystem::path("/usr/share"));
  expect_echoed(1500ms);
  expect_echoed(std::chrono::system_clock::now());
  EXPECT_EQ(*call(Echo(), std::make_unique<std::string>("owned")), "owned");
  EXPECT_EQ(*call(Echo(), std::make_shared<int>(7)), 7);
  EXPECT_EQ(call(Echo(), std::unique_ptr<int>()), nullptr);
}

enum class Colour { red, green };
struct Point {
  double x;
  double y;
  bool operator==(const Point&) const = default;
};
struct Shape {
  std::string name;
  std::vector<Point> points;
  std::map<Colour, std::optional<Point>> marks;
  std::vector<Shape> parts;
  bool operator==(const Shape&) const = default;
};

TEST_F(Data, NestedAggregatesCross) {
  const Point point{1, 2};
  expect_echoed(point);
  const Shape part{"part", {point}, {}, {}};
  expect_echoed(Shape{"whole",
                      {{0, 0}, {3, 4}},
                      {{Colour::red, {}}, {Colour::green, point}},
                      {part, part}});
}

class Account {
 public:
  explicit Account(std::string owner) : owner_(std::move(owner)) {}
  void pay(int amount) { entries_.push_back(amount); }
  bool operator==(const Account&) const = default;

 private:
  friend class cereal::access;
  Account() = default;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(owner_, entries_);
  }
  std::string owner_;
  std::vector<int> entries_;
};

TEST_F(Data, ATypeWithCerealsSerializeCrosses) {
  Account account("you");
  account.pay(5);
  expect_echoed(account);
  expect_echoed(std::vector{account, account});
  const auto paid = [](Account mine, int amount) {
    mine.pay(amount);
    return mine;
  };
  Account expected = account;
  expected.pay(7);
  EXPECT_EQ(call(paid, account, 7), expected);
}

TEST_F(Data, TheWorkersCopyIsItsOwn) {
  std::vector<int> numbers{3, 1, 2};
  const auto sorted = [](std::vector<int> mine) {
    std::ranges::sort(mine);
    return mine;
  };
  EXPECT_EQ(call(sorted, numbers), (std::vector{1, 2, 3}));
  EXPECT_EQ(numbers, (std::vector{3, 1, 2}));
}

TEST_F(Data, ArgumentsBecomeTheFunctionsParameters) {
  const auto half = [](double x) { return x / 2; };
  EXPECT_EQ(call(half, 1), 0.5);
  const auto length = [](const std::string& text) { return text.size(); };
  EXPECT_EQ(call(length, "four"), 4u);
}

TEST_F(Data, TwentyArgumentsCrossInOrder) {
  const auto join = [](auto... words) { return (std::string() + ... + words); };
  EXPECT_EQ(call(join, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m",
                 "n", "o", "p", "q", "r", "s", "t"),
            "abcdefghijklmnopqrst");
}

}  // namespace
}  // namespace killable::test
