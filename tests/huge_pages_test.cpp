#include <killable/killable.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "channel/mapping.hpp"
#include "os/huge_pages.hpp"
#include "os/memfd.hpp"
#include "support/fixture.hpp"
#include "support/sanitizers.hpp"

/// Large calls lie in huge pages where the kernel has some, and are right in any case.
namespace killable::test {
namespace {

class HugePages : public NothingIsLeft {};

using channel::Mapping;
using os::kHugePageBytes;

constexpr std::size_t kMegabyte = std::size_t{1} << 20;
constexpr std::size_t kLarge = (kSanitizer ? 4 : 16) * kMegabyte;

/// More than malloc(3) ever takes out of memory that was in use before.
constexpr std::size_t kVeryLarge = 40 * kMegabyte;

/// What of it lies in whole huge pages, wherever it begins.
constexpr std::size_t most_of(std::size_t bytes) { return bytes - kHugePageBytes; }

/// Bytes of which none repeats the one a page or a power of two before it.
std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i % 251);
  return bytes;
}

std::string echo(std::string value) { return value; }

/// Bytes that this process has mapped by huge pages, in the mapping that `at` points
/// into. See proc(5), /proc/pid/smaps.
std::size_t huge_bytes_at(const void* at) {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  std::ifstream smaps("/proc/self/smaps");
  bool is_there = false;
  std::size_t kilobytes = 0;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2)
      is_there = begin <= address && address < end;
    if (is_there &&
        (line.starts_with("AnonHugePages:") || line.starts_with("ShmemPmdMapped:")))
      kilobytes += std::stoull(line.substr(line.find(':') + 1));
  }
  return kilobytes * 1024;
}

/// The same, of all shared memory.
std::size_t huge_shared_bytes() {
  std::ifstream smaps("/proc/self/smaps_rollup");
  for (std::string word; smaps >> word;)
    if (std::size_t kilobytes = 0; word == "ShmemPmdMapped:" && smaps >> kilobytes)
      return kilobytes * 1024;
  return 0;
}

/// Some memory, as the library maps it.
struct Shared {
  explicit Shared(std::size_t size)
      : mapping(os::create_memfd("a test", size).get(), Mapping::Access::read_write, size,
                "a test"),
        bytes(mapping.bytes_for(size)) {}

  Mapping mapping;
  std::span<std::byte> bytes;
};

/// What the kernel does, as seen without the library: memory of a memfd or of nobody's,
/// written after `advise`, which is asked where a huge page begins.
template <class Advise>
bool is_huge_after(int memfd, const Advise& advise) {
  constexpr std::size_t kSize = 2 * kHugePageBytes;
  const int flags = memfd == -1 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* const room =
      ::mmap(nullptr, kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const auto begin = reinterpret_cast<std::uintptr_t>(room) + kHugePageBytes - 1;
  auto* const page = reinterpret_cast<char*>(begin / kHugePageBytes * kHugePageBytes);
  ::mmap(page, kHugePageBytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, memfd, 0);
  advise(page);
  std::fill_n(page, kHugePageBytes, 'x');
  const bool is_huge = huge_bytes_at(page) != 0;
  ::munmap(room, kSize);
  return is_huge;
}

bool kernel_makes_shared_ones_huge() {
  constexpr int kMadvCollapse = 25;
  return is_huge_after(os::create_memfd("a test", kHugePageBytes).get(), [](char* page) {
    *page = 'x';
    ::madvise(page, kHugePageBytes, kMadvCollapse);
  });
}

/// Also without having been asked: see shmem_enabled in the kernel's transhuge.rst.
bool kernel_makes_all_shared_ones_huge() {
  return is_huge_after(os::create_memfd("a test", kHugePageBytes).get(), [](char*) {});
}

bool kernel_makes_private_ones_huge() {
  return is_huge_after(
      -1, [](char* page) { ::madvise(page, kHugePageBytes, MADV_HUGEPAGE); });
}

/// Bytes that a test may expect in huge pages.
std::size_t shared_ones(std::size_t bytes) {
  return kernel_makes_shared_ones_huge() ? bytes : 0;
}
std::size_t private_ones(std::size_t bytes) {
  return kernel_makes_private_ones_huge() ? bytes : 0;
}

struct Seen {
  std::size_t huge_bytes;
  bool is_right;
};

Seen look(std::string_view argument) {
  const bool is_right = argument == pattern(argument.size());
  const char* const middle = argument.data() + argument.size() / 2;
  return {.huge_bytes = huge_bytes_at(middle), .is_right = is_right};
}

Seen look_at_copy(const std::vector<char>& argument) {
  return look({argument.data(), argument.size()});
}

// --- Where large calls lie ---

TEST_F(HugePages, HoldALargeArgumentThatIsSeenInPlace) {
  const std::string sent = pattern(kLarge);
  ProcessPool pool({.workers = 1});
  for (const Seen& seen : {call(look, sent), pool.submit(look, sent).getResult(),
                           pool.submit(look, sent).getResult()}) {
    EXPECT_GE(seen.huge_bytes, shared_ones(most_of(kLarge)));
    EXPECT_TRUE(seen.is_right);
  }
}

TEST_F(HugePages, HoldALargeArgumentThatIsCopied) {
  const std::string text = pattern(kVeryLarge);
  const std::vector<char> sent(text.begin(), text.end());
  const Seen seen = call(look_at_copy, sent);
  EXPECT_GE(seen.huge_bytes, private_ones(most_of(kVeryLarge)));
  EXPECT_TRUE(seen.is_right);
}

TEST_F(HugePages, HoldALargeResultInTheSlot) {
  KillableThread thread(pattern, kLarge);
  thread.start();
  EXPECT_EQ(thread.getResult(), pattern(kLarge));
  EXPECT_GE(huge_shared_bytes(), shared_ones(most_of(kLarge)));
  ProcessPool pool({.workers = 1});
  auto large = pool.submit(pattern, kLarge);
  auto next = pool.submit(await_file, path("seen"));
  EXPECT_EQ(large.getResult(), pattern(kLarge));
  EXPECT_GE(huge_shared_bytes(), shared_ones(2 * most_of(kLarge)));
  signal_file(path("seen"));
  next.getResult();
}

TEST_F(HugePages, HoldALargeResultThatIsTaken) {
  const std::string received = call(pattern, kVeryLarge);
  EXPECT_GE(huge_bytes_at(received.data() + kVeryLarge / 2),
            private_ones(most_of(kVeryLarge)));
}

TEST_F(HugePages, AreNotMadeForLessThanOne) {
  if (kernel_makes_all_shared_ones_huge()) GTEST_SKIP() << "the kernel makes them anyway";
  const std::string sent = pattern(kHugePageBytes - 4096);
  KillableThread thread(echo, sent);
  thread.start();
  EXPECT_EQ(thread.getResult(), sent);
  ProcessPool pool({.workers = 1});
  EXPECT_EQ(pool.submit(echo, sent).getResult(), sent);
  EXPECT_EQ(huge_shared_bytes(), 0u);
  EXPECT_EQ(call(look, sent).huge_bytes, 0u);
}

/// What all memfds that this process has open take of memory.
std::size_t memory_of_memfds() {
  std::size_t bytes = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(each, gone).string();
    struct stat status {};
    if (target.find("memfd:killable") != std::string::npos &&
        ::stat(each.path().c_str(), &status) == 0)
      bytes += static_cast<std::size_t>(status.st_blocks) * 512;
  }
  return bytes;
}

TEST_F(HugePages, TakeNoMoreMemoryThanTheResult) {
  ProcessPool pool({.workers = 1});
  const std::size_t before = memory_of_memfds();
  constexpr std::size_t kSize = kLarge + 65'536;
  pool.submit(pattern, kSize).join();
  EXPECT_GT(memory_of_memfds(), before + kLarge);
  EXPECT_LT(memory_of_memfds(), before + kLarge + kMegabyte);
}

// --- Where there are none ---

TEST_F(HugePages, OfMemoryThatIsNotAlignedAreNotMadeAndItIsWrittenAllTheSame) {
  const std::size_t size = 2 * kHugePageBytes;
  std::vector<std::byte> memory(size, std::byte{7});
  os::make_huge(std::span(memory).subspan(1));
  os::prefer_huge(std::span(memory).subspan(1));
  EXPECT_EQ(std::ranges::count(memory, std::byte{7}), std::ptrdiff_t(size));
}

TEST_F(HugePages, KeepWhatWasWrittenBefore) {
  const Shared shared(4 * kHugePageBytes);
  const std::span<std::byte> ordinary = shared.mapping.bytes();
  const auto written = [](std::size_t at) { return std::byte(at % 251 + 1); };
  // The first byte of each page, and others.
  for (std::size_t at = 0; at < ordinary.size(); at += 512) ordinary[at] = written(at);
  os::make_huge(shared.bytes);
  for (std::size_t at = 0; at < ordinary.size(); at += 512) {
    ASSERT_EQ(ordinary[at], written(at));
    ASSERT_EQ(shared.bytes[at], written(at));
  }
}

// --- Sizes ---

class HugePagesOf : public NothingIsLeft,
                    public ::testing::WithParamInterface<std::size_t> {};

TEST_P(HugePagesOf, AFreshCallCrossBothWays) {
  const std::string sent = pattern(GetParam());
  EXPECT_TRUE(call(echo, sent) == sent);
  EXPECT_TRUE(call(look, sent).is_right);
}

TEST_P(HugePagesOf, AFreshCallCrossAsNumbers) {
  std::vector<std::uint64_t> sent(GetParam() / 8 + 1);
  std::iota(sent.begin(), sent.end(), std::uint64_t{1} << 40);
  const auto same = [](std::vector<std::uint64_t> numbers) { return numbers; };
  EXPECT_TRUE(call(same, sent) == sent);
}

TEST_P(HugePagesOf, APoolCrossBothWaysAgainAndAgain) {
  ProcessPool pool({.workers = 1});
  for (const std::size_t more : {0, 1, 0, 5000, 0}) {
    const std::string sent = pattern(GetParam() + more);
    EXPECT_TRUE(pool.submit(echo, sent).getResult() == sent);
    EXPECT_TRUE(pool.submit(look, sent).getResult().is_right);
    EXPECT_EQ(pool.submit(echo, std::string("small")).getResult(), "small");
  }
}

INSTANTIATE_TEST_SUITE_P(Bytes, HugePagesOf,
                         ::testing::Values(kHugePageBytes - 4096, kHugePageBytes - 137,
                                           kHugePageBytes - 136, kHugePageBytes - 1,
                                           kHugePageBytes, kHugePageBytes + 1,
                                           2 * kHugePageBytes + 128, kLarge + 3));

TEST_F(HugePages, OfAPoolAreMadeAgainAfterTheirMemoryWasGivenBack) {
  ProcessPool pool({.workers = 1});
  const std::string expected = pattern(kLarge);
  const std::size_t before = huge_shared_bytes();
  for (int i = 0; i < 3; ++i) {
    auto large = pool.submit(pattern, kLarge);
    const std::string seen = path("seen" + std::to_string(i));
    // It keeps the worker from being idle.
    auto next = pool.submit(await_file, seen);
    EXPECT_TRUE(large.getResult() == expected);
    EXPECT_GE(huge_shared_bytes(), before + shared_ones(most_of(kLarge)));
    signal_file(seen);
    next.getResult();
    EXPECT_TRUE(eventually([&] { return huge_shared_bytes() == before; }));
  }
}

}  // namespace
}  // namespace killable::test
