#include <killable/detail/archive.hpp>

#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace killable::detail {
namespace {

using namespace std::string_literals;
using namespace std::chrono_literals;

constexpr std::uint64_t kBudget = 1 << 20;

template <class T>
T round_trip(const T& value) {
  HeapSink sink;
  encode(sink, value);
  Source source(sink.bytes(), kBudget);
  return decode_whole<T>(source);
}

template <class T>
std::vector<std::byte> bytes_of(const T& value) {
  HeapSink sink;
  encode(sink, value);
  return {sink.bytes().begin(), sink.bytes().end()};
}

template <class T>
void expect_kept(const T& value) {
  EXPECT_TRUE(round_trip(value) == value);
}

struct Empty {
  bool operator==(const Empty&) const = default;
};
struct Point {
  double x, y;
  bool operator==(const Point&) const = default;
};
struct Padded {
  char letter;
  int number;
  bool flag;
  bool operator==(const Padded&) const = default;
};
struct Tree {
  std::string name;
  std::vector<Tree> children;
  bool operator==(const Tree&) const = default;
};
struct Chain {
  int value;
  std::unique_ptr<Chain> next;
};
enum class Colour : std::uint8_t { red, green, blue };
enum OldStyle { kFirst, kSecond = 70'000 };

TEST(Codec, KeepsNumbers) {
  expect_kept(true);
  expect_kept('x');
  expect_kept(u8'x');
  expect_kept(U'\x1F600');
  expect_kept(std::numeric_limits<std::int64_t>::min());
  expect_kept(std::numeric_limits<std::uint64_t>::max());
  expect_kept(std::numeric_limits<float>::denorm_min());
  expect_kept(-std::numeric_limits<double>::infinity());
  expect_kept(LDBL_MAX);
  expect_kept(std::byte{200});
  EXPECT_TRUE(std::isnan(round_trip(std::nan(""))));
}

TEST(Codec, KeepsEnumerations) {
  expect_kept(Colour::blue);
  expect_kept(kSecond);
  expect_kept(std::vector{Colour::red, Colour::green});
}

TEST(Codec, KeepsStrings) {
  expect_kept(""s);
  expect_kept("with \0 zero"s);
  expect_kept(std::string(100'000, 'x'));
  expect_kept(L"wide"s);
  expect_kept(u8"eight"s);
  expect_kept(u"sixteen"s);
  expect_kept(U"thirty-two"s);
  expect_kept(std::filesystem::path("/usr/share/../lib"));
}

TEST(Codec, KeepsSequences) {
  expect_kept(std::vector<int>{});
  expect_kept(std::vector{1, 2, 3});
  expect_kept(std::vector{"a"s, ""s, "ccc"s});
  expect_kept(std::vector<bool>{true, false, true});
  expect_kept(std::deque<bool>{true, false});
  expect_kept(std::deque{1.5, 2.5});
  expect_kept(std::list{1, 2});
  expect_kept(std::list{"a"s});
  expect_kept(std::forward_list{1, 2, 3});
  expect_kept(std::forward_list{"a"s, "b"s});
  expect_kept(std::array{1, 2});
  expect_kept(std::array{"a"s, "b"s});
  expect_kept(std::array<bool, 2>{true, false});
  expect_kept(std::array<int, 0>{});
}

TEST(Codec, KeepsSetsAndMaps) {
  expect_kept(std::set{3, 1, 2});
  expect_kept(std::multiset{"a"s, "a"s});
  expect_kept(std::unordered_set{"a"s, "b"s});
  expect_kept(std::unordered_multiset{1, 1, 2});
  expect_kept(std::set<int, std::greater<>>{1, 2});
  expect_kept(std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}});
  expect_kept(std::multimap<int, bool>{{1, true}, {1, false}});
  expect_kept(std::unordered_map<std::string, Colour>{{"sky", Colour::blue}});
  expect_kept(std::unordered_multimap<int, int>{{1, 2}, {1, 3}});
}

TEST(Codec, KeepsAdapters) {
  std::stack<int> stack;
  stack.push(1);
  stack.push(2);
  expect_kept(stack);
  std::queue<std::string> queue;
  queue.push("first");
  queue.push("second");
  expect_kept(queue);
  std::priority_queue<int, std::vector<int>, std::greater<>> numbers;
  for (int number : {3, 1, 2}) numbers.push(number);
  auto kept = round_trip(numbers);
  for (int number : {1, 2, 3}) {
    EXPECT_EQ(kept.top(), number);
    kept.pop();
  }
}

TEST(Codec, KeepsVocabularyTypes) {
  expect_kept(std::pair{1, "one"s});
  expect_kept(std::tuple{1, "one"s, 1.0});
  expect_kept(std::tuple<>{});
  expect_kept(std::tuple<std::tuple<int>>{std::tuple{1}});
  expect_kept(std::optional{1});
  expect_kept(std::optional<std::string>{});
  expect_kept(std::optional<std::optional<int>>{std::optional<int>{}});
  expect_kept(std::variant<int, std::string>{"text"});
  expect_kept(std::variant<int, int>{std::in_place_index<1>, 5});
  expect_kept(std::variant<std::monostate, int>{});
  expect_kept(std::complex{1.0f, 2.0f});
  expect_kept(std::vector{std::complex{1.0, 2.0}});
  expect_kept(std::bitset<0>{});
  expect_kept(std::bitset<11>{0b10100000011});
  expect_kept(15ms);
  expect_kept(std::chrono::duration<double>{0.5});
  expect_kept(std::chrono::system_clock::now());
}

TEST(Codec, KeepsPointersThatOwn) {
  EXPECT_EQ(round_trip(std::unique_ptr<int>{}), nullptr);
  EXPECT_EQ(*round_trip(std::make_unique<int>(5)), 5);
  EXPECT_EQ(*round_trip(std::make_shared<std::string>("a")), "a");
  EXPECT_EQ(*round_trip(std::make_shared<const int>(5)), 5);
  std::vector<std::unique_ptr<int>> many;
  many.push_back(std::make_unique<int>(1));
  many.push_back(nullptr);
  const auto kept = round_trip(many);
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(*kept[0], 1);
  EXPECT_EQ(kept[1], nullptr);
  std::map<int, std::unique_ptr<int>> map;
  map[1] = std::make_unique<int>(2);
  EXPECT_EQ(*round_trip(map).at(1), 2);
}

TEST(Codec, KeepsAggregatesAsTheyAre) {
  expect_kept(Empty{});
  expect_kept(Point{1, 2});
  expect_kept(Padded{'a', 1, true});
  expect_kept(std::vector{Empty{}, Empty{}});
  expect_kept(std::vector{Point{1, 2}, Point{3, 4}});
  expect_kept(std::vector{Padded{'a', 1, true}, Padded{'b', 2, false}});
  expect_kept(std::list{Padded{'a', 1, true}});
  expect_kept(std::map<int, Point>{{1, {2, 3}}});
}

TEST(Codec, KeepsTypesThatHoldThemselves) {
  expect_kept(Tree{"root", {{"leaf", {}}, {"branch", {{"leaf", {}}}}}});
  const Chain chain{1, std::make_unique<Chain>(Chain{2, nullptr})};
  EXPECT_EQ(round_trip(chain).next->value, 2);
}

TEST(Codec, KeepsAggregatesOfEveryStandardType) {
  struct Everything {
    std::string text;
    std::vector<std::string> lines;
    std::optional<Point> point;
    std::variant<int, std::string> either;
    std::array<Colour, 2> colours;
    std::array<char, 100'000> block;
    std::filesystem::path path;
    std::chrono::milliseconds time;
    std::tuple<int, std::string> tuple;
    std::unordered_map<int, std::set<int>> map;
    std::complex<double> complex;
    std::bitset<9> bits;
    const int constant;
    Empty empty;
    bool operator==(const Everything&) const = default;
  };
  Everything value{.text = "a",
                   .lines = {"b"},
                   .point = Point{1, 2},
                   .either = "c",
                   .colours = {Colour::blue, Colour::green},
                   .block = {'d'},
                   .path = "e",
                   .time = 3ms,
                   .tuple = {4, "f"},
                   .map = {{5, {6, 7}}},
                   .complex = {8, 9},
                   .bits = 10,
                   .constant = 11,
                   .empty = {}};
  value.block.back() = 'z';
  expect_kept(value);
}

TEST(Codec, MakesObjectsThatHaveNoDefault) {
  struct Fixed {
    const int& at(std::size_t i) const { return values[i]; }
    const std::array<const int, 2> values;
    const std::array<const std::string, 2> names;
  };
  const Fixed kept = round_trip(Fixed{{1, 2}, {"a", "b"}});
  EXPECT_EQ(kept.at(1), 2);
  EXPECT_EQ(kept.names[1], "b");
}

TEST(Codec, SendsNoPadding) {
  alignas(Padded) std::byte memory[sizeof(Padded)];
  std::memset(memory, 0xAA, sizeof memory);
  auto* padded = new (memory) Padded;
  padded->letter = 'a';
  padded->number = 1;
  padded->flag = true;
  for (const std::byte byte : bytes_of(std::span<const Padded>(padded, 1))) {
    EXPECT_NE(byte, std::byte{0xAA});
  }
  for (const std::byte byte : bytes_of(*padded)) EXPECT_NE(byte, std::byte{0xAA});
  EXPECT_EQ(bytes_of(1.0L).size(), 10u);
}

TEST(Codec, EncodesSequencesAlikeWhateverHoldsThem) {
  const std::vector values{1.5, 2.5};
  const auto expected = bytes_of(values);
  EXPECT_EQ(bytes_of(std::span<const double>(values)), expected);
  EXPECT_EQ(bytes_of(std::list{1.5, 2.5}), expected);
  EXPECT_EQ(bytes_of(std::set{1.5, 2.5}), expected);
  EXPECT_EQ(bytes_of("text"s), bytes_of(std::string_view("text")));
  EXPECT_EQ(bytes_of(std::vector<bool>{true, false}), bytes_of(std::deque{true, false}));
}

TEST(Codec, ShowsViewsInPlace) {
  HeapSink sink;
  encode(sink, 'x');
  encode(sink, std::vector{1.5, 2.5});
  encode(sink, "text"s);
  encode(sink, std::vector{Padded{'a', 1, true}});
  encode(sink, std::deque{true, false});
  Source source(sink.bytes(), 0);  // no memory is needed
  EXPECT_EQ(decode<char>(source), 'x');
  const auto numbers = decode<std::span<const double>>(source);
  ASSERT_EQ(numbers.size(), 2u);
  EXPECT_EQ(numbers[1], 2.5);
  EXPECT_EQ(decode<std::string_view>(source), "text");
  EXPECT_EQ((decode<std::span<const Padded, 1>>(source)[0]), (Padded{'a', 1, true}));
  EXPECT_TRUE(decode<std::span<const bool>>(source)[0]);
  expect_end(source);
  const auto* begin = reinterpret_cast<const std::byte*>(numbers.data());
  EXPECT_TRUE(begin > sink.bytes().data() && begin < &sink.bytes().back());
}

TEST(Codec, TellsWhatCanCrossAndWhatCanReturn) {
  EXPECT_TRUE(Encodable<Tree>);
  EXPECT_TRUE((Encodable<std::map<std::string, std::vector<std::optional<Point>>>>));
  EXPECT_TRUE(Encodable<std::vector<std::string_view>>);
  EXPECT_FALSE(Returnable<std::vector<std::string_view>>);
  EXPECT_FALSE(Returnable<std::string_view>);
  EXPECT_FALSE(Returnable<std::span<const int>>);
  EXPECT_TRUE(Returnable<std::string>);
  EXPECT_FALSE(Encodable<int*>);
  EXPECT_FALSE(Encodable<void (*)()>);
  EXPECT_FALSE((Encodable<std::vector<std::pair<int, const char*>>>));
  EXPECT_FALSE(Encodable<std::reference_wrapper<int>>);
  EXPECT_FALSE(Encodable<std::span<int>>);
  EXPECT_FALSE(Encodable<std::span<const std::string>>);
  EXPECT_FALSE(Encodable<std::thread>);
  struct SeesAnother {
    const std::string& text;
    const int number;
  };
  EXPECT_FALSE(Encodable<SeesAnother>);
}

TEST(Codec, RefusesWhatIsNestedTooDeep) {
  struct Ring {
    std::shared_ptr<Ring> next;
  };
  const auto ring = std::make_shared<Ring>();
  ring->next = ring;
  EXPECT_THROW(bytes_of(*ring), CodecError);
  ring->next.reset();
}

class Throws {
 public:
  Throws() = default;
  Throws(const Throws&) { throw 1; }
  Throws& operator=(const Throws&) = default;
  void serialize(auto&) {}
};

TEST(Codec, RefusesAVariantWithoutValue) {
  std::variant<int, Throws> variant;
  const Throws original;
  EXPECT_ANY_THROW(variant.emplace<Throws>(original));
  ASSERT_TRUE(variant.valueless_by_exception());
  HeapSink sink;
  EXPECT_THROW(encode(sink, variant), CodecError);
}

}  // namespace
}  // namespace killable::detail
