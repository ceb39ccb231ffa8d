#include <killable/detail/archive.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

// Whatever bytes come, decoding gives a value of the type or a CodecError, and allocates
// no more than the budget. What is allocated is counted here.

namespace {

std::atomic<std::size_t> allocated = 0;
std::atomic<std::size_t> peak = 0;
constexpr std::size_t kHeader = alignof(std::max_align_t);

}  // namespace

// Inlined, they look to the compiler like a free() of what new has given.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* block = std::malloc(kHeader + size);
  if (block == nullptr) throw std::bad_alloc();
  *static_cast<std::size_t*>(block) = size;
  allocated += size;
  peak = std::max(peak.load(), allocated.load());
  return static_cast<std::byte*>(block) + kHeader;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  void* block = static_cast<std::byte*>(memory) - kHeader;
  allocated -= *static_cast<std::size_t*>(block);
  std::free(block);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

namespace killable::detail {
namespace {

constexpr std::uint64_t kBudget = 1 << 20;
constexpr std::size_t kForTexts = 4096;  // of errors
constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

using Bytes = std::vector<std::byte>;

template <class... Ts>
Bytes bytes_of(const Ts&... values) {
  HeapSink sink;
  (encode(sink, values), ...);
  return {sink.bytes().begin(), sink.bytes().end()};
}

/// Whether `bytes` are refused, without allocating more than `limit`.
template <class T>
bool refuses(const Bytes& bytes, std::uint64_t budget, std::uint64_t limit) {
  const std::size_t before = allocated;
  peak = before;
  bool refused = false;
  try {
    Source source(bytes, budget);
    decode_whole<T>(source);
  } catch (const CodecError&) {
    refused = true;
  }
  EXPECT_LE(peak - before, limit);
  return refused;
}

/// Whether `bytes` are refused, without allocating more than the budget.
template <class T>
bool refuses(const Bytes& bytes, std::uint64_t budget = kBudget) {
  return refuses<T>(bytes, budget, budget == kHuge ? kHuge : budget + kForTexts);
}

/// A count of elements, and 16 bytes that are too few for them.
Bytes counted(std::uint64_t count) { return bytes_of(count, 0, 0, 0, 0); }

struct Empty {};
struct Tree {
  std::vector<Tree> children;
};
struct Chain {
  std::unique_ptr<Chain> next;
};
struct Flags {
  char letter;
  bool flag;
};
struct Nothing {
  Nothing() = default;
  void serialize(auto&) {}
};
struct Sized {
  std::vector<int> values;
  void save(auto&) const {}
  void load(auto& archive) {
    cereal::size_type size;
    archive(cereal::make_size_tag(size));
    values.resize(size);
  }
};

template <class T>
class HostileCount : public testing::Test {};
using Containers = testing::Types<
    std::string, std::u32string, std::vector<int>, std::vector<bool>, std::vector<Empty>,
    std::vector<std::monostate>, std::vector<std::tuple<>>, std::vector<Nothing>,
    std::vector<std::string>, std::vector<std::optional<std::array<char, 4096>>>,
    std::deque<int>, std::list<char>, std::forward_list<Flags>, std::set<int>,
    std::unordered_set<std::string>, std::map<int, int>, std::unordered_map<int, Empty>,
    std::stack<int>, std::priority_queue<int>, std::filesystem::path, Sized>;
TYPED_TEST_SUITE(HostileCount, Containers);

TYPED_TEST(HostileCount, IsRefusedBeforeMemoryIsAllocated) {
  for (const std::uint64_t count :
       {kHuge, kHuge / 2, kHuge / sizeof(TypeParam), std::uint64_t{1} << 60,
        std::uint64_t{1} << 32, std::uint64_t{17}}) {
    EXPECT_TRUE(refuses<TypeParam>(counted(count), kHuge, kForTexts)) << count;
  }
}

TYPED_TEST(HostileCount, IsRefusedBeyondTheBudget) {
  Bytes bytes = bytes_of(std::uint64_t{1} << 20);
  bytes.resize(bytes.size() + (std::size_t{1} << 24));
  EXPECT_TRUE(refuses<TypeParam>(bytes, 1000));
}

TEST(HostileBytes, CannotAmplifyThroughLargeElements) {
  Bytes bytes = bytes_of(std::uint64_t{10'000});
  bytes.resize(bytes.size() + 10'000);  // as many empty optionals of 4 KiB each
  EXPECT_TRUE((refuses<std::vector<std::optional<std::array<char, 4096>>>>(bytes)));
}

TEST(HostileBytes, CannotAmplifyThroughEmptyContainers) {
  const Bytes bytes = bytes_of(std::vector<std::string>(10'000));
  EXPECT_TRUE(refuses<std::vector<std::deque<int>>>(bytes));
  EXPECT_TRUE(refuses<std::list<std::deque<int>>>(bytes));
}

TEST(HostileBytes, CannotAmplifyThroughThePartsOfAPath) {
  std::string text;
  for (int i = 0; i != 10'000; ++i) text += "a/";
  EXPECT_TRUE(refuses<std::filesystem::path>(bytes_of(text)));
}

TEST(HostileBytes, CannotNestDeeperThanTheStack) {
  Bytes counts = bytes_of(std::vector<std::uint64_t>(1'000'000, 1));
  EXPECT_TRUE(refuses<Tree>(counts, kHuge));
  EXPECT_TRUE(refuses<Chain>(Bytes(1'000'000, std::byte{1}), kHuge));
}

TEST(HostileBytes, CannotMakeABoolThatIsNone) {
  EXPECT_TRUE(refuses<bool>({std::byte{2}}));
  EXPECT_TRUE(refuses<std::optional<int>>(bytes_of('\2', 1)));
  EXPECT_TRUE(refuses<std::unique_ptr<int>>(bytes_of('\2', 1)));
  EXPECT_TRUE(refuses<Flags>(bytes_of('a', '\xFF')));
  const Bytes images = bytes_of(std::uint64_t{1}, 'a', '\xFF');
  EXPECT_TRUE(refuses<std::vector<Flags>>(images));
  EXPECT_TRUE(refuses<std::list<Flags>>(images));
  EXPECT_TRUE(refuses<std::vector<bool>>(bytes_of(std::uint64_t{1}, '\2')));
  EXPECT_TRUE((refuses<std::array<bool, 2>>(bytes_of('\1', '\2'))));
  Source source(images, 0);
  EXPECT_THROW(decode<std::span<const Flags>>(source), CodecError);
}

TEST(HostileBytes, CannotChooseAnAlternativeThatIsNone) {
  using Variant = std::variant<int, float>;
  EXPECT_FALSE(refuses<Variant>(bytes_of(std::uint32_t{1}, 0)));
  EXPECT_TRUE(refuses<Variant>(bytes_of(std::uint32_t{2}, 0)));
  EXPECT_TRUE(refuses<Variant>(bytes_of(~std::uint32_t{0}, 0)));
}

TEST(HostileBytes, MayRepeatAndShuffleKeys) {
  const Bytes bytes = bytes_of(std::vector{3, 1, 3, 2, 1});
  Source source(bytes, kBudget);
  EXPECT_EQ(decode_whole<std::set<int>>(source), (std::set{1, 2, 3}));
  using Pairs = std::vector<std::pair<int, std::string>>;
  const Bytes pairs = bytes_of(Pairs{{2, "a"}, {1, "b"}, {2, "c"}});
  Source source_of_pairs(pairs, kBudget);
  EXPECT_EQ((decode_whole<std::map<int, std::string>>(source_of_pairs)),
            (std::map<int, std::string>{{2, "a"}, {1, "b"}}));
}

TEST(HostileBytes, CannotKeepTheHostBusyWithCollidingKeys) {
  constexpr std::size_t kCount = 100'000;
  std::unordered_set<std::uint64_t> table;
  table.reserve(kCount);
  std::vector<std::uint64_t> keys(kCount);
  for (std::size_t i = 0; i != kCount; ++i) keys[i] = i * table.bucket_count();
  EXPECT_TRUE(refuses<std::unordered_set<std::uint64_t>>(bytes_of(keys), kHuge));
}

TEST(HostileBytes, MayRepeatOneKeyInAMultimap) {
  using Table = std::unordered_multimap<int, int>;
  Bytes bytes = bytes_of(std::uint64_t{100'000});
  bytes.resize(bytes.size() + 100'000 * 2 * sizeof(int));
  Source source(bytes, kHuge);
  EXPECT_EQ(decode_whole<Table>(source).count(0), 100'000u);
}

TEST(HostileBytes, CannotLeaveAnythingOver) {
  EXPECT_TRUE(refuses<int>(bytes_of(1, 'x')));
  EXPECT_TRUE(refuses<Empty>(bytes_of('x')));
}

TEST(HostileBytes, CannotShowAViewOfWrongSizeOrPlace) {
  Bytes bytes = bytes_of(std::vector{1.0, 2.0});
  Source source(bytes, 0);
  EXPECT_THROW((decode<std::span<const double, 3>>(source)), CodecError);
  Bytes shifted(bytes.size() + 1);
  std::copy(bytes.begin(), bytes.end(), shifted.begin() + 1);
  Source misaligned({shifted.data() + 1, bytes.size()}, kBudget);
  EXPECT_THROW(decode<std::span<const double>>(misaligned), CodecError);
  Source copied({shifted.data() + 1, bytes.size()}, kBudget);
  EXPECT_EQ(decode<std::vector<double>>(copied), (std::vector{1.0, 2.0}));
}

struct Leaf {
  double number;
  bool flag;
  std::optional<std::string> text;
};
struct Rich {
  int number;
  std::string text;
  std::vector<double> numbers;
  std::vector<Flags> flags;
  std::vector<bool> bits;
  std::map<std::string, std::vector<Leaf>> map;
  std::unordered_map<int, std::string> table;
  std::variant<int, std::string, std::vector<Tree>> either;
  std::unique_ptr<Leaf> leaf;
  std::tuple<std::list<int>, std::deque<std::string>, std::complex<float>> tuple;
  std::filesystem::path path;
  std::bitset<19> bitset;
  Tree tree;
};

Bytes rich_bytes() {
  std::vector<Leaf> leaves;
  leaves.push_back({1.5, true, "leaf"});
  leaves.push_back({2.5, false, std::nullopt});
  Rich rich{.number = 7,
            .text = "text",
            .numbers = {1, 2, 3},
            .flags = {{'a', true}, {'b', false}},
            .bits = {true, false},
            .map = {{"one", leaves}, {"none", {}}},
            .table = {{1, "x"}, {2, "y"}},
            .either = std::vector<Tree>(2),
            .leaf = std::make_unique<Leaf>(leaves[0]),
            .tuple = {{1, 2}, {"q"}, {1, 2}},
            .path = "/usr/lib",
            .bitset = 0x5A5A,
            .tree = {{Tree{{Tree{}}}, Tree{}}}};
  return bytes_of(rich);
}

TEST(HostileBytes, CutShortAnywhereAreRefused) {
  const Bytes whole = rich_bytes();
  EXPECT_FALSE(refuses<Rich>(whole));
  for (std::size_t size = 0; size != whole.size(); ++size) {
    EXPECT_TRUE(
        refuses<Rich>(Bytes(whole.begin(), whole.begin() + std::ptrdiff_t(size))));
  }
}

TEST(HostileBytes, ChangedInOneByteGiveAValueOrACodecError) {
  const Bytes whole = rich_bytes();
  for (std::size_t at = 0; at != whole.size(); ++at) {
    for (int change = 1; change != 256; ++change) {
      Bytes changed = whole;
      changed[at] ^= static_cast<std::byte>(change);
      refuses<Rich>(changed);
    }
  }
}

TEST(HostileBytes, ChangedAtRandomGiveAValueOrACodecError) {
  const Bytes whole = rich_bytes();
  std::mt19937 random(1);  // the same bytes each time
  for (int round = 0; round != 20'000; ++round) {
    Bytes changed = whole;
    for (std::uint32_t i = random() % 8; i != 0; --i) {
      changed[random() % changed.size()] = static_cast<std::byte>(random());
    }
    changed.resize(random() % (changed.size() + 1));
    refuses<Rich>(changed);
  }
}

/// Memory that another process changes all the time.
class FlickeringMemory {
 public:
  explicit FlickeringMemory(const Bytes& bytes) : size_(bytes.size()) {
    void* memory =
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    bytes_ = static_cast<std::byte*>(memory);
    std::copy(bytes.begin(), bytes.end(), bytes_);
    process_ = fork();
    if (process_ == 0) flicker();
  }
  ~FlickeringMemory() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    munmap(bytes_, size_);
  }
  FlickeringMemory(const FlickeringMemory&) = delete;
  FlickeringMemory& operator=(const FlickeringMemory&) = delete;

  std::span<const std::byte> bytes() const { return {bytes_, size_}; }

 private:
  [[noreturn]] void flicker() {
    for (auto* bytes = reinterpret_cast<volatile std::uint8_t*>(bytes_);;) {
      for (std::size_t i = sizeof(std::uint64_t); i != size_; ++i)
        bytes[i] = bytes[i] ^ 0x83;
    }
  }

  std::byte* bytes_;
  std::size_t size_;
  pid_t process_;
};

TEST(HostileBytes, MayChangeWhileTheyAreRead) {
  const FlickeringMemory memory(bytes_of(std::vector<Flags>(1000, {'a', true})));
  for (int round = 0; round != 1000; ++round) {
    Source source(memory.bytes(), kBudget);
    try {
      for (const Flags& flags : decode<std::vector<Flags>>(source)) {
        EXPECT_LE(std::bit_cast<std::uint8_t>(flags.flag), 1);
      }
    } catch (const CodecError&) {
    }
  }
}

}  // namespace
}  // namespace killable::detail
