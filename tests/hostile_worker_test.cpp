#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <killable/killable.hpp>

#include "support/fixture.hpp"
#include "support/slot_access.hpp"
#include "wire/exec_format.hpp"
#include "wire/slot_format.hpp"

/// Workers that write into shared memory and descriptors what the protocol does not
/// allow. The host gets a value of the right type or a clear error, and the next call
/// works.
namespace killable::test {
namespace {

using namespace std::chrono_literals;

class HostileWorker : public NothingIsLeft {};

void hang() {
  for (;;) ::pause();
}

TEST_F(HostileWorker, ACommitThatIsNotItsOwnIsAProtocolViolation) {
  KillableThread thread([] {
    slot_entry().commit.store(12345);
    ring();
    hang();
  });
  thread.start();
  EXPECT_THROW(thread.getResult(), ProtocolViolation);
  EXPECT_EQ(thread.state(), State::killed);
  EXPECT_THROW(thread.getResult(), ProtocolViolation);
}

TEST_F(HostileWorker, ABellWithoutACommitIsAProtocolViolation) {
  KillableThread thread([] {
    ring();
    hang();
  });
  thread.start();
  EXPECT_THROW(thread.getResult(), ProtocolViolation);
}

TEST_F(HostileWorker, APoolsThatRingsForEverIsEndedAlsoIfNobodyWaitsForIt) {
  ProcessPool pool({.workers = 1});
  auto ringing = pool.submit([] {
    for (;;) ring();
  });
  EXPECT_EQ(pool.submit([] { return 5; }).getResult(), 5);
  EXPECT_THROW(ringing.getResult(), ProtocolViolation);
}

TEST_F(HostileWorker, ACommitWithoutABellIsFoundAtTheEnd) {
  EXPECT_EQ(call([] {
              ::close(wire::kBellFd);
              return 5;
            }),
            5);
}

TEST_F(HostileWorker, OneThatClosesAllItsDescriptorsStillAnswers) {
  EXPECT_EQ(call([] {
              ::close_range(3, ~0u, 0);
              return 5;
            }),
            5);
}

TEST_F(HostileWorker, ItCannotSendAnythingOverItsChannel) {
  EXPECT_EQ(call([] {
              const char byte = 'x';
              const ssize_t sent = ::send(wire::kChannelFd, &byte, 1, MSG_NOSIGNAL);
              return sent == -1 ? errno : 0;
            }),
            EPIPE);
}

TEST_F(HostileWorker, AChannelThatBlocksAndThatNobodyReadsStopsNobodyInTheHost) {
  KillableThread thread(
      [](std::string file) {
        ::fcntl(wire::kChannelFd, F_SETFL, 0);
        signal_file(file);
        hang();
      },
      path("blocking"));
  thread.start();
  await_file(path("blocking"));
  EXPECT_TRUE(thread.request_stop());
  thread.kill(0ms);
  EXPECT_THROW(thread.getResult(), Killed);
}

/// What comes of each way to write to the memory that `argument` lies in: errno, or 0.
std::vector<int> attempts_to_write(std::string_view argument) {
  const Range mapping = find_mapping("r--s");
  const bool in_place =
      argument.data() >= reinterpret_cast<char*>(mapping.begin) &&
      argument.data() < reinterpret_cast<char*>(mapping.begin) + mapping.size;
  if (!in_place) return {};
  std::array<char, 64> name{};
  const auto begin = reinterpret_cast<std::uintptr_t>(mapping.begin);
  std::snprintf(name.data(), name.size(), "/proc/self/map_files/%lx-%lx", begin,
                begin + mapping.size);
  const auto error_of = [](bool failed) { return failed ? errno : 0; };
  const int memfd = ::open(name.data(), O_RDWR | O_CLOEXEC);
  const std::size_t at =
      static_cast<std::size_t>(argument.data() - reinterpret_cast<char*>(mapping.begin));
  return {error_of(::mprotect(mapping.begin, mapping.size, PROT_READ | PROT_WRITE) == -1),
          error_of(::madvise(mapping.begin, mapping.size, MADV_REMOVE) == -1),
          // Who is not privileged gets no further than here.
          memfd == -1 ? EPERM : error_of(::pwrite(memfd, "x", 1, off_t(at)) == -1),
          memfd == -1 ? EPERM
                      : error_of(::mmap(nullptr, mapping.size, PROT_READ | PROT_WRITE,
                                        MAP_SHARED, memfd, 0) == MAP_FAILED),
          memfd == -1 ? EPERM : error_of(::ftruncate(memfd, 0) == -1)};
}

TEST_F(HostileWorker, ItCannotAlterItsArguments) {
  const std::vector<int> refused{EACCES, EACCES, EPERM, EPERM, EPERM};
  EXPECT_EQ(call(attempts_to_write, "text"), refused);
  // Not a spare: its arguments were there before it was.
  EXPECT_EQ(call({.max_result_bytes = 1000}, attempts_to_write, "text"), refused);
}

/// What comes of each way to change the size or the seals of its slot: errno, or 0.
std::vector<int> attempts_to_resize() {
  const Range slot = find_mapping("rw-s");
  std::array<char, 64> name{};
  const auto begin = reinterpret_cast<std::uintptr_t>(slot.begin);
  std::snprintf(name.data(), name.size(), "/proc/self/map_files/%lx-%lx", begin,
                begin + slot.size);
  const int memfd = ::open(name.data(), O_RDWR | O_CLOEXEC);
  if (memfd == -1) return {EPERM, EPERM, EPERM, EPERM};
  const auto error_of = [](bool failed) { return failed ? errno : 0; };
  const auto size = static_cast<off_t>(slot.size);
  return {error_of(::ftruncate(memfd, 0) == -1),
          error_of(::ftruncate(memfd, 2 * size) == -1),
          error_of(::fallocate(memfd, 0, size, 4096) == -1),
          error_of(::fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE) == -1)};
}

TEST_F(HostileWorker, ItCannotResizeOrSealItsSlot) {
  EXPECT_EQ(call(attempts_to_resize), (std::vector<int>{EPERM, EPERM, EPERM, EPERM}));
}

TEST_F(HostileWorker, HolesPunchedIntoItsSlotReadAsNoResult) {
  KillableThread thread([] {
    const Range slot = find_mapping("rw-s");
    std::memset(slot.begin, 0xff, 4096);  // header and beginning of the result
    if (::madvise(slot.begin, 4096, MADV_REMOVE) == -1) return;
    ring();
    hang();
  });
  thread.start();
  EXPECT_THROW(thread.getResult(), ProtocolViolation);
}

/// Tells, as it is destroyed after the commit, what a commit of this worker looks like.
struct ReportsCommit {
  std::string file;

  ReportsCommit() = default;
  explicit ReportsCommit(std::string to) : file(std::move(to)) {}
  ReportsCommit(ReportsCommit&& other) noexcept : file(std::exchange(other.file, {})) {}
  ReportsCommit& operator=(ReportsCommit&&) = delete;
  ~ReportsCommit() {
    if (!file.empty() && this_worker::inside())
      signal_file(file, std::to_string(slot_entry().commit.load()));
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(file);
  }
};

/// What the worker writes instead of the library: header and result, whole.
struct Forgery {
  std::uint64_t commit = 0;
  std::uint32_t kind = static_cast<std::uint32_t>(wire::ResultKind::value);
  std::uint64_t length = 0;
  std::string result;
  std::uint64_t arrays_begin = 0;
};

/// Publishes the forgery as the library would.
void forge(const Forgery& forgery) {
  std::memcpy(result_place(forgery.length), forgery.result.data(), forgery.result.size());
  slot_entry().kind.store(forgery.kind);
  slot_entry().length.store(forgery.length);
  slot_entry().arrays_begin.store(forgery.arrays_begin);
  slot_entry().commit.store(forgery.commit);
  ring();
}

template <class R>
R commit_forgery(Forgery forgery, const SharedArray<int>&) {
  forge(forgery);
  hang();
  return R();
}

/// A worker that commits what it likes. Without spares the workers' ids follow each
/// other, so that a test can know the commit word that the host expects.
class ForgedCommit : public NothingIsLeft {
 protected:
  void SetUp() override {
    NothingIsLeft::SetUp();
    // The spares of SetUp are used up first.
    configure({.spare_workers = 0});
    replace_session();
    KillableThread first([](const ReportsCommit&) {}, ReportsCommit(path("commit")));
    first.start();
    id_ = std::stoull(await_file(path("commit"))) ^ wire::commit_word(0, 1);
  }

  void TearDown() override {
    configure_for_tests();
    replace_session();
    NothingIsLeft::TearDown();
  }

  /// A running call whose worker has committed `forgery` with the right commit word.
  template <class R>
  KillableThread<R> forged(Forgery forgery, const SharedArray<int>& passed = {}) {
    forgery.commit = next_commit();
    KillableThread<R> thread(commit_forgery<R>, std::move(forgery), passed);
    thread.start();
    return thread;
  }

  /// The commit word that the host expects of the next worker.
  std::uint64_t next_commit() { return wire::commit_word(++id_, 1); }

 private:
  static void replace_session() {
    for (const Process& process : processes_named("killable-server"))
      ::kill(process.pid, SIGKILL);
    EXPECT_TRUE(eventually([] { return other_processes().empty(); }));
  }

  wire::WorkerId id_ = 0;
};

std::string encoded(const auto& value) {
  detail::HeapSink sink;
  detail::encode(sink, value);
  const auto bytes = sink.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(ForgedCommit, AWellFormedOneIsBelieved) {
  const std::string result = encoded(42);
  auto thread = forged<int>({.length = result.size(), .result = result});
  EXPECT_EQ(thread.getResult(), 42);
}

TEST_F(ForgedCommit, ALengthBeyondTheSlotIsAProtocolViolation) {
  for (const std::uint64_t length : {~std::uint64_t{0}, std::uint64_t{1} << 63,
                                     (std::uint64_t{1} << 30) + (2 << 20)}) {
    auto thread = forged<int>({.length = length, .result = "x"});
    EXPECT_THROW(thread.getResult(), ProtocolViolation) << length;
  }
}

TEST_F(ForgedCommit, AKindThatDoesNotExistIsAProtocolViolation) {
  auto thread = forged<int>({.kind = 77, .length = 4, .result = encoded(1)});
  EXPECT_THROW(thread.getResult(), ProtocolViolation);
}

TEST_F(ForgedCommit, BytesThatDoNotDecodeAreACodecError) {
  auto text =
      forged<std::vector<std::string>>({.length = 64, .result = std::string(64, '\xff')});
  EXPECT_THROW(text.getResult(), CodecError);
  auto cut = forged<std::uint64_t>({.length = 4, .result = encoded(1)});
  EXPECT_THROW(cut.getResult(), CodecError);
  auto long_one = forged<int>({.length = 12, .result = encoded(1) + "12345678"});
  EXPECT_THROW(long_one.getResult(), CodecError);
}

TEST_F(ForgedCommit, AnExceptionThatDoesNotDecodeIsACodecError) {
  constexpr auto kException = static_cast<std::uint32_t>(wire::ResultKind::exception);
  auto thread =
      forged<int>({.kind = kException, .length = 32, .result = std::string(32, '\xff')});
  EXPECT_THROW(thread.getResult(), CodecError);
}

/// This process's memory in bytes: the heap and what it sees of shared memory.
std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// The most that this process has had, see getrusage(2).
std::uint64_t peak_resident_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) << 10;
}

constexpr std::uint64_t kGigabyte = std::uint64_t{1} << 30;

TEST_F(ForgedCommit, AHugeResultOfHolesTakesNoMemory) {
  auto thread = forged<std::vector<std::string>>({.length = 1 << 30, .result = ""});
  const std::uint64_t before = resident_bytes();
  // A count of zero, and a gigabyte that follows it unread.
  EXPECT_THROW(thread.getResult(), CodecError);
  EXPECT_LT(resident_bytes(), before + (64 << 20));
}

TEST_F(ForgedCommit, ALengthBeyondMaxResultBytesIsAProtocolViolation) {
  const Forgery forgery{.commit = next_commit(), .length = 1001, .result = "x"};
  KillableThread<std::string> thread({.max_result_bytes = 1000},
                                     commit_forgery<std::string>, forgery,
                                     SharedArray<int>());
  thread.start();
  try {
    thread.getResult();
    ADD_FAILURE() << "it was believed";
  } catch (const ProtocolViolation& violation) {
    EXPECT_THAT(violation.what(), ::testing::HasSubstr("max_result_bytes"));
  }
}

/// In a pool's worker that has served a call before, whose commit tells what is expected.
int forge_and_hang(std::uint64_t length, const std::string& lied) {
  const wire::CallNumber number = current_call();
  const wire::WorkerId id =
      slot_entry(number - 1).commit ^ wire::commit_word(0, number - 1);
  forge({.commit = wire::commit_word(id, number), .length = length, .result = ""});
  signal_file(lied);
  hang();
  return 0;
}

TEST_F(HostileWorker, APoolsThatLiesAboutALongResultMakesTheHostCopyNothing) {
  ProcessPool pool({.workers = 1});
  pool.submit([] {}).getResult();
  const std::uint64_t before = peak_resident_bytes();
  auto lying = pool.submit({.max_result_bytes = 1000}, forge_and_hang, kGigabyte / 2,
                           path("lied"));
  EXPECT_THROW(lying.getResult(), ProtocolViolation);
  EXPECT_LT(peak_resident_bytes(), before + kGigabyte / 8);
}

TEST_F(HostileWorker, APoolsThatClaimsALongResultDoesNotOutliveAKillThatNobodyWaitsFor) {
  ProcessPool pool({.workers = 1});
  pool.submit([] {}).getResult();
  auto lying = pool.submit(forge_and_hang, kGigabyte / 256, path("lied"));
  await_file(path("lied"));
  lying.kill(0ms);
  EXPECT_TRUE(eventually([&] { return pool.stats().running == 0; }));
}

/// What names a SharedArray: index or offset, and count.
template <class Place>
std::string array_at(char kind, Place place, std::uint64_t count) {
  std::string bytes(1, kind);
  bytes.append(reinterpret_cast<const char*>(&place), sizeof place);
  return bytes.append(reinterpret_cast<const char*>(&count), sizeof count);
}

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kSlotBytes = (std::uint64_t{1} << 30) + kPage;
constexpr std::uint64_t kArraysBegin = kSlotBytes - 3 * kPage;
constexpr std::uint64_t kHuge = ~std::uint64_t{0};

Forgery array_in_slot(std::uint64_t offset, std::uint64_t count) {
  const std::string result = array_at('\1', offset, count);
  return {.length = result.size(), .result = result, .arrays_begin = kArraysBegin};
}

TEST_F(ForgedCommit, AnArrayWithinTheSlotsArraysIsBelieved) {
  for (const std::uint64_t offset : {kArraysBegin, kArraysBegin + kPage}) {
    auto thread =
        forged<SharedArray<int>>(array_in_slot(offset, 2 * kPage / sizeof(int)));
    const SharedArray<int> array = thread.getResult();
    EXPECT_EQ(array.size_bytes(), 2 * kPage);
    EXPECT_EQ(array.front() + array.back(), 0);
  }
}

TEST_F(ForgedCommit, AnArrayBeyondTheSlotsArraysIsACodecError) {
  using Place = std::pair<std::uint64_t, std::uint64_t>;
  for (const auto& [offset, count] :
       {Place(kArraysBegin - kPage, 1), Place(0, 1), Place(kSlotBytes, 1),
        Place(kSlotBytes + kPage, 1), Place(kHuge - kPage + 1, 1), Place(kHuge, 1),
        Place(kArraysBegin + 8, 1), Place(kArraysBegin, 3 * kPage / sizeof(int) + 1),
        Place(kArraysBegin, kHuge), Place(kArraysBegin, kHuge / sizeof(int)),
        Place(kArraysBegin, (std::uint64_t{1} << 62) + 1), Place(kArraysBegin, 0)}) {
    auto thread = forged<SharedArray<int>>(array_in_slot(offset, count));
    EXPECT_THROW(thread.getResult(), CodecError) << offset << ", " << count;
  }
}

TEST_F(ForgedCommit, AnArrayInASlotThatSaysItHasNoneIsACodecError) {
  Forgery forgery = array_in_slot(kArraysBegin, 1);
  forgery.arrays_begin = 0;
  auto thread = forged<SharedArray<int>>(forgery);
  EXPECT_THROW(thread.getResult(), CodecError);
}

TEST_F(ForgedCommit, ArraysThatCannotLieInTheSlotAreAProtocolViolation) {
  for (const std::uint64_t begin : {std::uint64_t{8}, kArraysBegin + 1,
                                    kSlotBytes + kPage, kHuge, kHuge - kPage + 1}) {
    Forgery forgery = array_in_slot(kArraysBegin, 1);
    forgery.arrays_begin = begin;
    auto thread = forged<SharedArray<int>>(forgery);
    EXPECT_THROW(thread.getResult(), ProtocolViolation) << begin;
  }
  auto overlap =
      forged<std::string>({.length = 2 * kPage, .result = "", .arrays_begin = kPage});
  EXPECT_THROW(overlap.getResult(), ProtocolViolation);
}

TEST_F(ForgedCommit, AnArrayThatWasNotPassedIsACodecError) {
  const SharedArray<int> passed(10);
  const auto forged_array = [&](const std::string& result) {
    return forged<SharedArray<int>>({.length = result.size(), .result = result}, passed);
  };
  EXPECT_EQ(forged_array(array_at('\0', std::uint32_t{0}, 10)).getResult().data(),
            passed.data());
  for (const std::uint32_t index : {1u, 64u, ~0u})
    EXPECT_THROW(forged_array(array_at('\0', index, 10)).getResult(), CodecError)
        << index;
  for (const std::uint64_t count : {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{11},
                                    (std::uint64_t{1} << 62) + 10, kHuge})
    EXPECT_THROW(forged_array(array_at('\0', std::uint32_t{0}, count)).getResult(),
                 CodecError)
        << count;
  EXPECT_THROW(forged_array(array_at('\7', std::uint32_t{0}, 10)).getResult(),
               CodecError);
  EXPECT_THROW(forged_array(std::string(3, '\0')).getResult(), CodecError);
}

TEST_F(ForgedCommit, AnExceptionWithArraysIsACodecError) {
  Forgery forgery = array_in_slot(kArraysBegin, 1);
  forgery.kind = static_cast<std::uint32_t>(wire::ResultKind::exception);
  auto thread = forged<SharedArray<int>>(forgery);
  EXPECT_THROW(thread.getResult(), CodecError);
}

/// Writes all over header and result, for ever.
[[noreturn]] void flip_words(std::uint64_t seed) {
  auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(find_mapping("rw-s").begin);
  for (std::uint64_t i = seed;; ++i) words[i * 7 % 600].store(i * 0x9e3779b97f4a7c15);
}

TEST_F(HostileWorker, WordsThatChangeAllTheTimeNeverHurtTheHost) {
  for (std::uint64_t round = 0; round < 20; ++round) {
    KillableThread thread(
        [](std::uint64_t seed) {
          if (::fork() == 0) flip_words(seed);
          std::this_thread::sleep_for(5ms);  // Time to do harm in.
          return std::map<std::string, std::vector<int>>{{"a", {1, 2, 3}}, {"b", {4}}};
        },
        round);
    thread.start();
    try {
      thread.getResult();
    } catch (const Error&) {
    } catch (const RemoteException&) {
      // The kind of the result was forged, and what followed happened to be a record.
    }
  }
}

}  // namespace
}  // namespace killable::test
