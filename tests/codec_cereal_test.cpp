#include <killable/detail/archive.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

// As a user's file that already uses cereal has them: they must not be in the way.
#include <cereal/archives/binary.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>

namespace foreign {
struct Vector3 {
  Vector3() = default;
  Vector3(float a, float b, float c) : x(a), y(b), z(c) {}
  float x = 0, y = 0, z = 0;
};
}  // namespace foreign

namespace cereal {
template <class Archive>
void serialize(Archive& archive, foreign::Vector3& vector) {
  archive(vector.x, vector.y, vector.z);
}
}  // namespace cereal

namespace killable::detail {
namespace {

template <class T>
T round_trip(const T& value) {
  HeapSink sink;
  encode(sink, value);
  Source source(sink.bytes(), 1 << 20);
  return decode_whole<T>(source);
}

class Account {
 public:
  Account(std::string owner, std::vector<int> entries)
      : owner_(std::move(owner)), entries_(std::move(entries)) {}
  bool operator==(const Account&) const = default;

 private:
  friend class cereal::access;
  Account() = default;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::make_nvp("owner", owner_), CEREAL_NVP(entries_));
  }
  std::string owner_;
  std::vector<int> entries_;
};

TEST(CodecWithCereal, CallsAPrivateSerialize) {
  const Account account("Ann", {1, 2});
  EXPECT_EQ(round_trip(account), account);
  EXPECT_EQ(round_trip(std::vector{account, account}).back(), account);
}

TEST(CodecWithCereal, CallsAFunctionInNamespaceCereal) {
  EXPECT_EQ(round_trip(foreign::Vector3(1, 2, 3)).z, 3);
  EXPECT_EQ(round_trip(std::vector<foreign::Vector3>(2)).size(), 2u);
}

struct Split {
  int value = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive << value;
    static_assert(Archive::is_saving::value);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive >> value;
    value += 100;
  }
};
struct SplitOutside {
  int value = 0;
};
template <class Archive>
void save(Archive& archive, const SplitOutside& object) {
  archive& object.value;
}
template <class Archive>
void load(Archive& archive, SplitOutside& object) {
  archive& object.value;
}

TEST(CodecWithCereal, CallsSaveAndLoad) {
  EXPECT_EQ(round_trip(Split{1}).value, 101);
  EXPECT_EQ(round_trip(SplitOutside{1}).value, 1);
}

struct Minimal {
  std::string text;
  template <class Archive>
  std::string save_minimal(const Archive&) const {
    return text;
  }
  template <class Archive>
  void load_minimal(const Archive&, const std::string& value) {
    text = value;
  }
};
struct MinimalOutside {
  int value = 0;
};
template <class Archive>
int save_minimal(const Archive&, const MinimalOutside& object) {
  return object.value;
}
template <class Archive>
void load_minimal(const Archive&, MinimalOutside& object, const int& value) {
  object.value = value;
}

TEST(CodecWithCereal, CallsTheMinimalFunctions) {
  EXPECT_EQ(round_trip(Minimal{"a"}).text, "a");
  EXPECT_EQ(round_trip(MinimalOutside{5}).value, 5);
}

struct Versioned {
  int value = 0;
  std::uint32_t seen = 0;
  template <class Archive>
  void serialize(Archive& archive, const std::uint32_t version) {
    archive(value);
    seen = version;
  }
};

}  // namespace
}  // namespace killable::detail

CEREAL_CLASS_VERSION(killable::detail::Versioned, 7)

namespace killable::detail {
namespace {

TEST(CodecWithCereal, TellsTheVersionOfAClass) {
  EXPECT_EQ(round_trip(Versioned{1}).value, 1);
  EXPECT_EQ(round_trip(Versioned{1}).seen, 7u);
}

struct Base {
  virtual ~Base() = default;
  int base = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(base);
  }
};
struct Derived : Base {
  int derived = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(cereal::base_class<Base>(this), cereal::virtual_base_class<Base>(this),
            derived);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(cereal::base_class<Base>(this), cereal::virtual_base_class<Base>(this),
            derived);
  }
};

}  // namespace
}  // namespace killable::detail

template <class Archive>
struct cereal::specialize<Archive, killable::detail::Derived,
                          cereal::specialization::member_load_save> {};

namespace killable::detail {
namespace {

TEST(CodecWithCereal, ObeysSpecializeAndKeepsBases) {
  Derived object;
  object.base = 1;
  object.derived = 2;
  EXPECT_EQ(round_trip(object).base, 1);
  EXPECT_EQ(round_trip(object).derived, 2);
}

class Buffer {
 public:
  explicit Buffer(std::size_t size = 0) : bytes(size) {}
  std::vector<char> bytes;
  int numbers[3] = {};
  std::map<std::string, std::unique_ptr<int>> map;

  template <class Archive>
  void save(Archive& archive) const {
    archive(cereal::make_size_tag(bytes.size()),
            cereal::binary_data(bytes.data(), bytes.size()), numbers, cereal::defer(map));
    archive.serializeDeferments();
  }
  template <class Archive>
  void load(Archive& archive) {
    cereal::size_type size;
    archive(cereal::make_size_tag(size));
    bytes.resize(size);
    archive(cereal::binary_data(bytes.data(), size), numbers, cereal::defer(map));
    archive.serializeDeferments();
  }
};

TEST(CodecWithCereal, KeepsWhatCerealWraps) {
  Buffer buffer(5);
  buffer.bytes[4] = 'x';
  buffer.numbers[2] = 9;
  buffer.map["a"] = std::make_unique<int>(4);
  const Buffer kept = round_trip(buffer);
  EXPECT_EQ(kept.bytes, buffer.bytes);
  EXPECT_EQ(kept.numbers[2], 9);
  EXPECT_EQ(*kept.map.at("a"), 4);
}

template <class T>
struct Box {
  T value{};
};
template <
    class Archive, class T,
    cereal::traits::EnableIf<cereal::traits::is_output_serializable<T, Archive>::value ||
                             cereal::traits::is_input_serializable<T, Archive>::value> =
        cereal::traits::sfinae>
void serialize(Archive& archive, Box<T>& box) {
  archive(box.value);
}

TEST(CodecWithCereal, AnswersCerealsTraits) {
  EXPECT_EQ(round_trip(Box<Box<std::string>>{{"a"}}).value.value, "a");
  EXPECT_EQ(round_trip(Box<std::vector<int>>{{1}}).value, std::vector{1});
}

struct Silent {
  Silent() = default;
  void serialize(auto&) {}
};

TEST(CodecWithCereal, KeepsObjectsThatWriteNothing) {
  EXPECT_EQ(round_trip(std::vector<Silent>(3)).size(), 3u);
}

template <class Exception>
struct Thrower {
  Thrower() = default;
  void save(auto& archive) const { archive(1); }
  void load(auto&) { throw Exception("no"); }
};

TEST(CodecWithCereal, MakesACodecErrorOfCerealsException) {
  EXPECT_THROW(round_trip(Thrower<cereal::Exception>()), CodecError);
}

TEST(CodecWithCereal, PassesExceptionsOfTheUserThrough) {
  EXPECT_THROW(round_trip(Thrower<std::domain_error>()), std::domain_error);
}

}  // namespace
}  // namespace killable::detail
