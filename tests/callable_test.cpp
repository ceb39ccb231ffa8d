#include <killable/detail/callable.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace killable::detail {
namespace {

int add(int a, int b) { return a + b; }
int add_noexcept(int a, int b) noexcept { return a + b; }
double sum(std::span<const double> values) {
  double total = 0;
  for (double value : values) total += value;
  return total;
}
std::size_t length(std::string_view text) { return text.size(); }
std::string greet(const std::string& name) { return "hello " + name; }
const std::string& same(const std::string& text) { return text; }
void nothing() {}
bool stopped(std::stop_token token, int) { return token.stop_requested(); }
std::size_t take(std::unique_ptr<int> owned) { return owned ? 1 : 0; }

struct Adder {
  int operator()(int a, int b) const { return a + b; }
};
struct Overloaded {
  int operator()(int a) const { return a; }
  std::string operator()(std::string a) const { return a; }
};
struct Portable {
  std::string path;
  int operator()(int a) const { return a; }
};

/// What the worker gets of a call that the host encodes.
template <class F, class... Args>
auto cross(F callable, Args&&... args) {
  using Traits = CallTraits<F, Args...>;
  HeapSink sink;
  encode_arguments<Traits>(sink, std::forward<Args>(args)...);
  Source source(sink.bytes(), 1 << 20);
  return invoke<Traits>(callable, std::stop_token(), decode_arguments<Traits>(source));
}

template <class F, class... Args>
using ParametersOf = typename CallTraits<F, Args...>::Parameters;
template <class F, class... Args>
using ResultOf = typename CallTraits<F, Args...>::Result;

}  // namespace
}  // namespace killable::detail

template <>
inline constexpr bool
    killable::detail::is_portable_callable_v<killable::detail::Portable> = true;

namespace killable::detail {
namespace {

TEST(Callable, FunctionsLambdasAndEmptyObjectsCanBeCalled) {
  EXPECT_EQ(cross(add, 2, 3), 5);
  EXPECT_EQ(cross(&add, 2, 3), 5);
  EXPECT_EQ(cross(add_noexcept, 2, 3), 5);
  EXPECT_EQ(cross([](int a) { return a + 1; }, 2), 3);
  EXPECT_EQ(cross([](int a) noexcept { return a + 1; }, 2), 3);
  EXPECT_EQ(cross([](int a) mutable { return a + 1; }, 2), 3);
  EXPECT_EQ(cross(Adder(), 2, 3), 5);
  EXPECT_TRUE((
      std::is_same_v<CallTraits<decltype(add)&, int, int>::Callable, int (*)(int, int)>));
}

TEST(Callable, APortableCallableMayHaveState) { EXPECT_EQ(cross(Portable{"x"}, 4), 4); }

TEST(Callable, ArgumentsBecomeTheParametersOfTheFunction) {
  EXPECT_TRUE((std::is_same_v<ParametersOf<decltype(greet), const char(&)[4]>,
                              std::tuple<std::string>>));
  EXPECT_TRUE((std::is_same_v<ParametersOf<Adder, short, long>, std::tuple<int, int>>));
  EXPECT_EQ(cross(greet, "you"), "hello you");
  const char* pointer = "you";
  EXPECT_EQ(cross(greet, pointer), "hello you");
  EXPECT_EQ(cross([](double x) { return x / 2; }, 1), 0.5);
  EXPECT_EQ(cross([](std::size_t n) { return n; }, 40), 40u);
  EXPECT_EQ(cross([](std::int8_t n) { return int{n}; }, 40), 40);
}

TEST(Callable, ViewsStayViews) {
  const std::vector<double> values{1, 2, 3.5};
  EXPECT_TRUE((std::is_same_v<ParametersOf<decltype(sum), const std::vector<double>&>,
                              std::tuple<std::span<const double>>>));
  EXPECT_EQ(cross(sum, values), 6.5);
  EXPECT_EQ(cross(sum, std::vector<double>{1, 2}), 3);
  EXPECT_EQ(cross(length, "four"), 4u);
  EXPECT_EQ(cross(length, std::string("four")), 4u);
  EXPECT_EQ(cross([](auto view) { return view.size(); }, std::string_view("four")), 4u);
}

TEST(Callable, GenericCallablesGetTheDecayedArguments) {
  const auto twice = [](auto x) { return x + x; };
  EXPECT_EQ(cross(twice, 21), 42);
  EXPECT_EQ(cross(twice, "ab"), "abab");
  char text[] = "cd";
  EXPECT_EQ(cross(twice, text), "cdcd");
  const std::string constant = "e";
  EXPECT_EQ(cross(twice, constant), "ee");
  EXPECT_EQ(cross(Overloaded(), 3), 3);
  EXPECT_EQ(cross(Overloaded(), "three"), "three");
}

TEST(Callable, DefaultArgumentsMayBeLeftOut) {
  const auto scale = [](int x, int factor = 10) { return x * factor; };
  EXPECT_EQ(cross(scale, 2), 20);
  EXPECT_EQ(cross(scale, 2, 3), 6);
}

TEST(Callable, TheResultIsDecayed) {
  EXPECT_TRUE((std::is_same_v<ResultOf<decltype(same), std::string>, std::string>));
  EXPECT_TRUE((std::is_same_v<ResultOf<decltype(nothing)>, void>));
  EXPECT_EQ(cross(same, "text"), "text");
  cross(nothing);
}

TEST(Callable, AStopTokenComesFirstAndIsNotEncoded) {
  using Traits = CallTraits<decltype(stopped), int>;
  EXPECT_TRUE(Traits::kTakesStopToken);
  EXPECT_TRUE((std::is_same_v<Traits::Parameters, std::tuple<int>>));
  std::stop_source stop;
  stop.request_stop();
  auto* function = &stopped;
  EXPECT_TRUE(invoke<Traits>(function, stop.get_token(), {1}));
  EXPECT_FALSE(invoke<Traits>(function, std::stop_token(), {1}));
}

TEST(Callable, AStopTokenIsSeenInEveryKindOfCallable) {
  const auto by_reference = [](const std::stop_token&) {};
  EXPECT_TRUE(CallTraits<decltype(by_reference)>::kTakesStopToken);
  const auto generic = [](std::stop_token, auto x) { return x; };
  EXPECT_TRUE((CallTraits<decltype(generic), int>::kTakesStopToken));
  EXPECT_EQ(cross(generic, 7), 7);
  const auto without = [](auto x) { return x; };
  EXPECT_FALSE((CallTraits<decltype(without), int>::kTakesStopToken));
}

TEST(Callable, StoredValuesAreMovedIntoTheCall) {
  using Traits = CallTraits<decltype(take), std::unique_ptr<int>>;
  auto* function = &take;
  Traits::Parameters parameters{std::make_unique<int>(1)};
  EXPECT_EQ(invoke<Traits>(function, {}, std::move(parameters)), 1u);
  EXPECT_EQ(std::get<0>(parameters), nullptr);
}

TEST(Callable, ArgumentsOfTheRightTypeAreEncodedWithoutACopy) {
  const std::string argument = "text";
  const std::string& parameter = as_parameter<std::string>(argument);
  EXPECT_EQ(&parameter, &argument);
  EXPECT_EQ(as_parameter<std::string>("text"), "text");
}

}  // namespace
}  // namespace killable::detail
