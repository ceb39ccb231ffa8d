#include <killable/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <random>
#include <regex>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <vector>

#include <killable/errors.hpp>

#include "exception_crossing.hpp"

namespace killable {
namespace {

struct Registered : std::runtime_error {
  explicit Registered(const std::string& text) : std::runtime_error(text) {}
  std::vector<std::string> parts{"one", "two", "three"};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(parts);
  }
};
const RegisterException<Registered> registered;

struct Unregistered : std::logic_error {
  using std::logic_error::logic_error;
};

/// Decodes what a hostile worker wrote: an exception comes of it, or a CodecError.
void decode_hostile(std::span<const std::byte> bytes) {
  detail::Source source(bytes, testing::kMemoryBudget);
  try {
    EXPECT_NE(detail::decode_exception(source), nullptr);
  } catch (const CodecError&) {
  }
}

using Bytes = std::vector<std::byte>;

Bytes record_of(const std::function<void()>& function) {
  detail::HeapSink sink;
  testing::record(sink, function);
  return {sink.bytes().begin(), sink.bytes().end()};
}

/// Records that between them have every kind of part.
std::vector<Bytes> records() {
  class Category : public std::error_category {
    const char* name() const noexcept override { return "hostile"; }
    std::string message(int) const override { return "message"; }
  };
  static const Category category;
  const auto code = std::make_error_code(std::errc::io_error);
  const auto nested = [] {
    try {
      throw Registered("inner");
    } catch (...) {
      std::throw_with_nested(Unregistered("outer"));
    }
  };
  return {
      record_of(nested),
      record_of([] { throw Registered("text"); }),
      record_of([] {
        throw RemoteException("Name", "text", {"a()", "b()"});
      }),
      record_of([] { throw std::system_error(7, category, "text"); }),
      record_of([&] { throw std::filesystem::filesystem_error("x", "/a", "/b", code); }),
      record_of([] { throw std::regex_error(std::regex_constants::error_brack); }),
      record_of([] { throw std::future_error(std::future_errc::no_state); }),
      record_of([] { throw TimedOut("text", std::chrono::seconds(1), Report()); }),
      record_of([] { throw WorkerCrashed("text", 11, Report()); }),
      record_of([] { throw std::bad_variant_access(); }),
  };
}

TEST(HostileExceptions, EveryPrefixIsACodecError) {
  for (const Bytes& record : records()) {
    for (std::size_t size = 0; size < record.size(); ++size) {
      // A copy of its own, so that the sanitizer sees a read past the end.
      const Bytes prefix(record.begin(),
                         record.begin() + static_cast<std::ptrdiff_t>(size));
      detail::Source source(prefix, testing::kMemoryBudget);
      EXPECT_THROW(detail::decode_exception(source), CodecError) << size;
    }
  }
}

TEST(HostileExceptions, EveryChangeOfOneByteGivesAnExceptionOrACodecError) {
  for (const Bytes& record : records()) {
    for (std::size_t i = 0; i < record.size(); ++i) {
      Bytes changed = record;
      for (int value : {0, 1, 2, 3, 4, 0x7f, 0x80, 0xff}) {
        changed[i] = static_cast<std::byte>(value);
        decode_hostile(changed);
      }
    }
  }
}

TEST(HostileExceptions, RandomChangesGiveAnExceptionOrACodecError) {
  std::mt19937 random(1);
  const auto originals = records();
  for (int round = 0; round < 20'000; ++round) {
    Bytes changed = originals[random() % originals.size()];
    for (std::size_t changes = 1 + random() % 8; changes > 0; --changes)
      changed[random() % changed.size()] = static_cast<std::byte>(random());
    decode_hostile(changed);
  }
}

TEST(HostileExceptions, RandomBytesGiveAnExceptionOrACodecError) {
  std::mt19937 random(2);
  for (int round = 0; round < 20'000; ++round) {
    Bytes bytes(1 + random() % 200);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 8);
    decode_hostile(bytes);
  }
}

TEST(HostileExceptions, ATooLongChainIsACodecError) {
  Bytes one = record_of([] { throw std::runtime_error("x"); });
  const std::byte end = one.back();
  one.pop_back();
  Bytes chain;
  for (int i = 0; i < 10'000; ++i) chain.insert(chain.end(), one.begin(), one.end());
  chain.push_back(end);
  detail::Source source(chain, testing::kMemoryBudget);
  EXPECT_THROW(detail::decode_exception(source), CodecError);
}

TEST(HostileExceptions, ALengthBeyondTheBoundIsACodecError) {
  detail::HeapSink sink;
  const std::uint8_t exact = 1;
  const std::uint32_t size = 200'000;
  sink.write(&exact, sizeof exact);
  sink.write(&size, sizeof size);
  sink.extend(300'000);
  detail::Source source(sink.bytes(), testing::kMemoryBudget);
  EXPECT_THROW(detail::decode_exception(source), CodecError);
}

TEST(HostileExceptions, ANameThatTheHostDidNotRegisterMakesNoSuchType) {
  Bytes record = record_of([] { throw Registered("text"); });
  const std::string key = typeid(Registered).name();
  const auto bytes = std::as_bytes(std::span(key));
  const auto found =
      std::search(record.begin(), record.end(), bytes.begin(), bytes.end());
  ASSERT_NE(found, record.end());
  *found = std::byte{'X'};
  detail::Source source(record, testing::kMemoryBudget);
  try {
    std::rethrow_exception(detail::decode_exception(source));
  } catch (const RemoteException& remote) {
    EXPECT_EQ(remote.message(),
              "text (its data did not cross: the type is not registered here)");
  }
}

/// Another type of the same name, as an unnamed namespace of another file may have.
struct Namesake : std::type_info {
  explicit Namesake(const char* name) : std::type_info(name) {}
};

TEST(HostileExceptions, ANameThatTwoTypesHaveMakesNeither) {
  const std::string name = std::string("*") + typeid(Registered).name();
  const Namesake namesake(name.c_str());
  const detail::ExceptionType other{&namesake, detail::encode_thrown<Unregistered>,
                                    detail::decode_thrown<Unregistered>};
  const auto fail = [] { throw Registered("text"); };
  EXPECT_FALSE(testing::is_remote(testing::cross(fail)));
  detail::register_exception(other);
  EXPECT_TRUE(testing::is_remote(testing::cross(fail)));
  detail::unregister_exception(other);
  EXPECT_FALSE(testing::is_remote(testing::cross(fail)));
}

}  // namespace
}  // namespace killable
