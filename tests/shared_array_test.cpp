#include <killable/killable.hpp>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/available_memory.hpp"
#include "support/eventually.hpp"
#include "support/fixture.hpp"
#include "support/misbehaviour.hpp"
#include "support/processes.hpp"

namespace killable::test {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::HasSubstr;

class SharedArrays : public NothingIsLeft {};

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

/// How many mappings of shared memory this process has.
std::size_t count_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    if (line.find("memfd:killable") != std::string::npos) ++count;
  return count;
}

/// Numbers that differ from place to place, and from those of another `seed`.
void fill(std::span<std::uint32_t> numbers, std::uint32_t seed) {
  for (std::uint32_t& number : numbers) number = seed = seed * 1664525 + 1013904223;
}

bool is_filled(std::span<const std::uint32_t> numbers, std::uint32_t seed) {
  return std::ranges::all_of(numbers, [&](std::uint32_t number) {
    return number == (seed = seed * 1664525 + 1013904223);
  });
}

SharedArray<std::uint32_t> make_filled(std::size_t count, std::uint32_t seed) {
  SharedArray<std::uint32_t> array(count);
  fill(array, seed);
  return array;
}

// --- One memory ---

TEST_F(SharedArrays, BeginAsZeros) {
  EXPECT_THAT(SharedArray<int>(5000), Each(0));
  EXPECT_THAT(call([] { return SharedArray<int>(5000); }), Each(0));
}

TEST_F(SharedArrays, AreSpans) {
  SharedArray<int> array(3);
  std::iota(array.begin(), array.end(), 1);
  const std::span<int> span = array;
  EXPECT_EQ(span.data(), array.data());
  EXPECT_EQ(span.size(), 3u);
  EXPECT_EQ(array.size_bytes(), 3 * sizeof(int));
  EXPECT_EQ(array.front() + array[1] + array.back(), 6);
  const SharedArray<int>& constant = array;
  constant[0] = 7;
  EXPECT_EQ(std::span<const int>(constant)[0], 7);
}

void answer(SharedArray<int> array) {
  const std::atomic_ref<int> question(array[0]);
  while (question == 0) {
  }
  std::atomic_ref(array[1]).store(question + 1);
  sleep_for_ever();
}

TEST_F(SharedArrays, AreSeenInPlaceByBothWhileTheCallRuns) {
  for (const StartMethod method : {StartMethod::fork_server, StartMethod::spawn}) {
    const SharedArray<int> array(2);
    KillableThread thread({.start_method = method}, answer, array);
    thread.start();
    std::atomic_ref(array[0]).store(41);
    EXPECT_TRUE(eventually([&] { return std::atomic_ref(array[1]).load() == 42; }));
  }
}

TEST_F(SharedArrays, KeepWhatAWorkerWroteThatWasKilled) {
  const SharedArray<std::uint32_t> array(kMegabyte);
  KillableThread thread(
      [](SharedArray<std::uint32_t> mine, std::string file) {
        fill(mine, 1);
        signal_file(file);
        sleep_for_ever();
      },
      array, path("filled"));
  thread.start();
  await_file(path("filled"));
  thread.kill(0ms);
  EXPECT_THROW(thread.getResult(), Killed);
  EXPECT_TRUE(is_filled(array, 1));
}

TEST_F(SharedArrays, AreReadWhileTheirWorkerIsKilled) {
  for (int round = 0; round < 20; ++round) {
    const SharedArray<std::uint32_t> array(kMegabyte);
    KillableThread thread(
        [](SharedArray<std::uint32_t> mine) {
          for (std::uint32_t seed = 0;; ++seed) fill(mine, seed);
        },
        array);
    thread.start();
    EXPECT_TRUE(eventually([&] { return std::atomic_ref(array.back()).load() != 0; }));
    thread.kill(0ms);
    while (thread.is_alive()) std::accumulate(array.begin(), array.end(), 0u);
    EXPECT_THROW(thread.getResult(), Killed);
  }
}

TEST_F(SharedArrays, ReadAsZerosWhereAWorkerPunchesHoles) {
  const auto punch = [](SharedArray<std::uint32_t> given) {
    const SharedArray<std::uint32_t> made = make_filled(10'000, 2);
    for (const auto& array : {given, made})
      if (::madvise(array.data(), 8192, MADV_REMOVE) != 0)
        throw std::runtime_error("cannot punch");
    return made;
  };
  const SharedArray<std::uint32_t> given = make_filled(10'000, 1);
  const SharedArray<std::uint32_t> made = call(punch, given);
  for (const auto& array : {given, made}) {
    EXPECT_THAT(std::span(array).first(2048), Each(0u));
    EXPECT_NE(array[2048], 0u);
  }
}

TEST_F(SharedArrays, ThatAWorkerMadeComeBack) {
  const SharedArray<std::uint32_t> made = call(make_filled, 100'000, 5);
  EXPECT_EQ(made.size(), 100'000u);
  EXPECT_TRUE(is_filled(made, 5));
  made[7] = 8;
  EXPECT_EQ(made[7], 8u);
}

TEST_F(SharedArrays, LiveLongerThanTheHandleOfTheirCall) {
  std::optional<KillableThread<SharedArray<std::uint32_t>>> thread(std::in_place,
                                                                   make_filled, 1000, 5);
  thread->start();
  const SharedArray<std::uint32_t> made = thread->getResult();
  thread.reset();
  EXPECT_TRUE(is_filled(made, 5));
}

TEST_F(SharedArrays, LiveInTheWorkerAlsoIfTheHostDropsThem) {
  std::optional<SharedArray<std::uint32_t>> array(make_filled(1000, 5));
  KillableThread thread(
      [](SharedArray<std::uint32_t> mine, std::string file) {
        await_file(file);
        return is_filled(mine, 5);
      },
      *array, path("dropped"));
  thread.start();
  array.reset();
  signal_file(path("dropped"));
  EXPECT_TRUE(thread.getResult());
}

TEST_F(SharedArrays, ArePassedToWorkersThatWereThereBefore) {
  warm_up();
  const std::vector<Process> there_before = other_processes();
  const auto where = [](SharedArray<int> array) {
    array[0] = 7;
    return ::getpid();
  };
  SharedArray<int> array(1);
  const pid_t worker = call(where, array);
  EXPECT_TRUE(std::ranges::any_of(
      there_before, [&](const Process& process) { return process.pid == worker; }));
  EXPECT_EQ(array[0], 7);
}

TEST_F(SharedArrays, CopiesShareTheMemory) {
  SharedArray<int> array(10);
  SharedArray<int> copy = array;
  copy[3] = 4;
  EXPECT_EQ(array[3], 4);
  const SharedArray<int> moved = std::move(copy);
  EXPECT_EQ(moved.data(), array.data());
  EXPECT_TRUE(copy.empty());
  EXPECT_EQ(copy.data(), nullptr);
  array = SharedArray<int>();
  EXPECT_EQ(moved[3], 4);
}

TEST_F(SharedArrays, PassedInAndReturnedAreTheSame) {
  const SharedArray<int> array(10);
  const SharedArray<int> other(10);
  const auto swap = [](SharedArray<int> a, SharedArray<int> b) {
    return std::pair(b, a);
  };
  const auto [second, first] = call(swap, array, other);
  EXPECT_EQ(first.data(), array.data());
  EXPECT_EQ(second.data(), other.data());
}

TEST_F(SharedArrays, PassedTwiceAreOneInTheWorker) {
  const SharedArray<int> array(10);
  const auto are_one = [](SharedArray<int> a, std::vector<SharedArray<int>> more) {
    a[0] = 9;
    return a.data() == more[0].data() && more[1][0] == 9;
  };
  EXPECT_TRUE(call(are_one, array, std::vector{array, array}));
}

TEST_F(SharedArrays, OfAResultAreTheSameAtEveryLook) {
  KillableThread thread(make_filled, 1000, 5);
  thread.start();
  const auto first = thread.getResult();
  const auto second = thread.getResult();
  EXPECT_EQ(first.data(), second.data());
  EXPECT_TRUE(is_filled(second, 5));
}

TEST_F(SharedArrays, GoFromCallToCall) {
  const auto made = call(make_filled, 5000, 5);
  const auto replace = [](SharedArray<std::uint32_t> array, std::uint32_t seed) {
    const bool was_filled = is_filled(array, 5);
    fill(array, seed);
    return std::pair(was_filled, array);
  };
  const auto [was_filled, same] = call(replace, made, 6u);
  EXPECT_TRUE(was_filled);
  EXPECT_EQ(same.data(), made.data());
  EXPECT_TRUE(is_filled(made, 6));
}

// --- Sizes ---

class SizesOfSharedArrays : public NothingIsLeft,
                            public ::testing::WithParamInterface<std::size_t> {};

TEST_P(SizesOfSharedArrays, CrossBothWays) {
  const SharedArray<unsigned char> sent(GetParam());
  const auto look = [](SharedArray<unsigned char> seen) {
    std::ranges::fill(seen, static_cast<unsigned char>(3));
    SharedArray<unsigned char> made(seen.size());
    std::ranges::fill(made, static_cast<unsigned char>(4));
    return std::pair(made, seen);
  };
  const auto [made, same] = call(look, sent);
  EXPECT_EQ(made.size(), GetParam());
  EXPECT_EQ(same.size(), GetParam());
  EXPECT_TRUE(std::ranges::all_of(sent, [](int byte) { return byte == 3; }));
  EXPECT_TRUE(std::ranges::all_of(made, [](int byte) { return byte == 4; }));
}

INSTANTIATE_TEST_SUITE_P(Of, SizesOfSharedArrays,
                         ::testing::Values(0, 1, 4095, 4096, 4097, 64 * kMegabyte));

TEST_F(SharedArrays, OfTwoGigabytesAndMoreCrossBothWays) {
  constexpr std::size_t kSize = 2'200'000'000;
  constexpr std::size_t kStep = 65'536;  // Of the pages between, none is ever made.
  constexpr std::uint64_t kNeeded = 2 * kSize / (kStep / 4096);
  if (available_memory() < kNeeded)
    GTEST_SKIP() << "needs " << kNeeded << " bytes of memory; there are "
                 << available_memory();
  const auto look = [](SharedArray<char> seen) {
    SharedArray<char> made(seen.size());
    for (std::size_t i = 0; i < seen.size(); i += kStep)
      made[i] = static_cast<char>(seen[i] + 1);
    made.back() = seen.back();
    return made;
  };
  const SharedArray<char> sent(kSize);
  for (std::size_t i = 0; i < kSize; i += kStep) sent[i] = static_cast<char>(i % 101);
  sent.back() = 'z';
  const auto made = call({.max_result_bytes = kSize + 2 * kMegabyte}, look, sent);
  ASSERT_EQ(made.size(), kSize);
  EXPECT_EQ(made.back(), 'z');
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < kSize; i += kStep) wrong += made[i] != sent[i] + 1;
  EXPECT_EQ(wrong, 0u);
}

TEST_F(SharedArrays, OfMoreBytesThanThereAreIsALengthError) {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  EXPECT_THROW(SharedArray<int>{kMost / 2}, std::length_error);
  EXPECT_THROW(SharedArray<char>{kMost}, std::length_error);
  EXPECT_THROW(call([] { SharedArray<int>{kMost / 2}; }), std::length_error);
  EXPECT_THROW(SharedArray<char>{kMost / 2}, std::system_error);
  EXPECT_THROW(call([] { SharedArray<char>{kMost / 2}; }), LimitExceeded);
}

// --- Within other values ---

struct Pixel {
  std::uint8_t red, green, blue;
};
struct Picture {
  std::string name;
  SharedArray<Pixel> pixels;
  SharedArray<std::complex<float>> spectrum;
};

TEST_F(SharedArrays, CrossWithinAnAggregate) {
  const auto develop = [](Picture picture) {
    picture.pixels[1].green = 200;
    picture.spectrum = SharedArray<std::complex<float>>(2);
    picture.spectrum[1] = {1, 2};
    picture.name += "!";
    return picture;
  };
  const Picture sent{.name = "a", .pixels = SharedArray<Pixel>(2), .spectrum = {}};
  const Picture received = call(develop, sent);
  EXPECT_EQ(received.name, "a!");
  EXPECT_EQ(received.pixels.data(), sent.pixels.data());
  EXPECT_EQ(sent.pixels[1].green, 200);
  EXPECT_EQ(received.spectrum[1], std::complex<float>(1, 2));
}

TEST_F(SharedArrays, CrossWithinContainersAndOptionals) {
  using Arrays = std::vector<std::optional<SharedArray<int>>>;
  const auto extend = [](Arrays arrays) {
    arrays.front()->front() = 1;
    arrays.emplace_back(SharedArray<int>(1)).value()[0] = 2;
    return arrays;
  };
  const Arrays received = call(extend, Arrays{SharedArray<int>(1), std::nullopt});
  ASSERT_EQ(received.size(), 3u);
  EXPECT_EQ(received[0].value()[0], 1);
  EXPECT_FALSE(received[1].has_value());
  EXPECT_EQ(received[2].value()[0], 2);
}

TEST_F(SharedArrays, SixtyFourCanBePassedAndOneMoreIsAClearError) {
  std::vector<SharedArray<int>> arrays;
  for (int i = 0; i < 64; ++i) arrays.emplace_back(1)[0] = i;
  const auto sum = [](std::vector<SharedArray<int>> all) {
    int total = 0;
    for (const auto& each : all) total += each[0];
    return total;
  };
  arrays.push_back(arrays[63]);  // The same once more is not one more.
  EXPECT_EQ(call(sum, arrays), 63 * 64 / 2 + 63);
  arrays.emplace_back(1);
  try {
    call(sum, arrays);
    ADD_FAILURE() << "65 were passed";
  } catch (const CodecError& error) {
    EXPECT_THAT(error.what(), HasSubstr("65"));
  }
}

TEST_F(SharedArrays, AsManyAsTheSlotHoldsComeBackInOneMapping) {
  // More than a process may have mappings. See proc(5), max_map_count.
  const auto make = [] {
    std::vector<SharedArray<int>> arrays;
    for (int i = 0; i < 70'000; ++i) arrays.emplace_back(1);
    arrays.back()[0] = 7;
    return arrays;
  };
  const std::size_t before = count_mappings();
  const auto arrays = call(make);
  EXPECT_EQ(arrays.size(), 70'000u);
  EXPECT_EQ(arrays.back()[0], 7);
  EXPECT_LE(count_mappings(), before + 1);
}

struct WithArray : std::runtime_error {
  explicit WithArray(const std::string& text) : std::runtime_error(text) {}
  SharedArray<int> array{10};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(array);
  }
};
inline const RegisterException<WithArray> registered;

TEST_F(SharedArrays, DoNotCrossWithinExceptionsWhichSayWhy) {
  try {
    call([] { throw WithArray("text"); });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const RemoteException& error) {
    EXPECT_THAT(error.message(), HasSubstr("text"));
    EXPECT_THAT(error.message(), HasSubstr("SharedArray"));
  }
}

}  // namespace
}  // namespace killable::test
