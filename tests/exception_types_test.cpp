#include <killable/codec.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <killable/errors.hpp>

#include "exception_crossing.hpp"

namespace killable {
namespace {

using testing::cross;
using testing::crossed_as;
using testing::crossed_what;
using testing::is_remote;

// --- Types that nobody registered ------------------------------------------------------

class Unregistered : public std::out_of_range {
 public:
  Unregistered() : std::out_of_range("base text") {}
  const char* what() const noexcept override { return "own text"; }
};

TEST(Exceptions, AnUnregisteredTypeIsCaughtByItsStandardBases) {
  const auto fail = [] { throw Unregistered(); };
  EXPECT_EQ(crossed_what<std::out_of_range>(fail), "own text");
  EXPECT_EQ(crossed_what<std::logic_error>(fail), "own text");
  EXPECT_EQ(crossed_what<std::exception>(fail), "own text");
}

TEST(Exceptions, AnUnregisteredTypeIsARemoteExceptionWithADemangledName) {
  const auto remote = crossed_as<RemoteException>([] { throw Unregistered(); });
  EXPECT_EQ(remote.type_name(), "killable::(anonymous namespace)::Unregistered");
  EXPECT_EQ(remote.message(), "own text");
  EXPECT_TRUE(remote.backtrace().empty());
}

TEST(Exceptions, TheBaseOfAnUnregisteredTypeBringsItsData) {
  struct Disconnected : std::system_error {
    using std::system_error::system_error;
  };
  struct Missing : std::filesystem::filesystem_error {
    using std::filesystem::filesystem_error::filesystem_error;
  };
  struct Impatient : TimedOut {
    using TimedOut::TimedOut;
  };
  const auto code = std::make_error_code(std::errc::connection_reset);
  EXPECT_EQ(crossed_as<std::system_error>([&] { throw Disconnected(code, "x"); }).code(),
            code);
  EXPECT_EQ(crossed_as<std::filesystem::filesystem_error>([&] {
              throw Missing("x", "/a", code);
            }).path1(),
            "/a");
  EXPECT_EQ(crossed_as<TimedOut>([&] {
              throw Impatient("x", std::chrono::seconds(2), Report());
            }).timeout(),
            std::chrono::seconds(2));
}

TEST(Exceptions, AnUnregisteredTypeDerivedFromExceptionAloneArrivesAsBoth) {
  struct Plain : std::exception {
    const char* what() const noexcept override { return "plain"; }
  };
  const auto fail = [] { throw Plain(); };
  EXPECT_EQ(crossed_what<std::exception>(fail), "plain");
  EXPECT_EQ(crossed_as<RemoteException>(fail).message(), "plain");
}

TEST(Exceptions, AnUnregisteredTypeKeepsItsNameThroughAnotherWorker) {
  const auto first = cross([] { throw Unregistered(); });
  const auto fail = [&] { std::rethrow_exception(first); };
  EXPECT_EQ(crossed_what<std::out_of_range>(fail), "own text");
  EXPECT_EQ(crossed_as<RemoteException>(fail).type_name(),
            "killable::(anonymous namespace)::Unregistered");
}

TEST(Exceptions, ARemoteExceptionKeepsItsBacktrace) {
  const RemoteException original("Name", "text", {"inner()", "outer()"});
  const auto crossed = crossed_as<RemoteException>([&] { throw original; });
  EXPECT_EQ(crossed.type_name(), "Name");
  EXPECT_EQ(crossed.message(), "text");
  EXPECT_EQ(crossed.backtrace(), original.backtrace());
}

// --- What is no exception class at all -------------------------------------------------

template <class T>
void expect_value(const T& value, const std::string& type_name,
                  const std::string& message) {
  const auto fail = [&] { throw value; };
  EXPECT_EQ(crossed_what<Error>(fail), message);
  EXPECT_EQ(crossed_as<RemoteException>(fail).type_name(), type_name);
  EXPECT_EQ(crossed_as<RemoteException>(fail).message(), message);
}

TEST(Exceptions, AThrownNumberArrivesAsAnErrorWithItsValue) {
  expect_value(42, "int", "42");
  expect_value(-1L, "long", "-1");
  expect_value(~0ULL, "unsigned long long", "18446744073709551615");
  expect_value(static_cast<unsigned char>(200), "unsigned char", "200");
  expect_value(0.1, "double", "0.1");
  expect_value(1.5F, "float", "1.5");
  expect_value(true, "bool", "true");
  expect_value('c', "char", "c");
}

TEST(Exceptions, AThrownTextArrivesAsAnErrorWithIt) {
  const char* text = "text";
  expect_value(text, "char const*", "text");
  expect_value(std::string("text"),
               "std::__cxx11::basic_string<char, std::char_traits<char>, "
               "std::allocator<char> >",
               "text");
  expect_value(std::string(100, 'x'),
               "std::__cxx11::basic_string<char, "
               "std::char_traits<char>, std::allocator<char> >",
               std::string(100, 'x'));
}

TEST(Exceptions, AnyOtherThrownObjectArrivesWithItsTypesName) {
  struct Token {
    int secret;
  };
  const auto remote = crossed_as<RemoteException>([] { throw Token{1}; });
  EXPECT_TRUE(remote.type_name().ends_with("::Token")) << remote.type_name();
  EXPECT_EQ(remote.message(), "");
  static const int target = 1;
  EXPECT_EQ(crossed_as<RemoteException>([] { throw &target; }).type_name(), "int const*");
}

TEST(Exceptions, ANulInATextDoesNotHideTheRest) {
  const auto fail = [] { throw std::string("a\0b", 3); };
  EXPECT_EQ(crossed_what<Error>(fail), "a?b");
  EXPECT_EQ(crossed_as<RemoteException>(fail).message(), "a?b");
}

// --- std::nested_exception -------------------------------------------------------------

template <class Function, class Outer>
void nest(const Function& inner, const Outer& outer) {
  try {
    inner();
  } catch (...) {
    std::throw_with_nested(outer);
  }
}

/// The exception nested in an E.
template <class E>
std::exception_ptr inner_of(const std::exception_ptr& outer) {
  try {
    std::rethrow_exception(outer);
  } catch (const E& caught) {
    try {
      std::rethrow_if_nested(caught);
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }
}

template <class E>
std::string what_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const E& caught) {
    return caught.what();
  }
}

TEST(Exceptions, TheChainOfNestedExceptionsArrivesWhole) {
  const auto chain = cross([] {
    nest([] { nest([] { throw std::out_of_range("c"); }, std::logic_error("b")); },
         std::system_error(ENOENT, std::system_category(), "a"));
  });
  EXPECT_EQ(what_of<std::system_error>(chain), "a: No such file or directory");
  const auto second = inner_of<std::system_error>(chain);
  EXPECT_EQ(what_of<std::logic_error>(second), "b");
  const auto third = inner_of<std::logic_error>(second);
  EXPECT_EQ(what_of<std::out_of_range>(third), "c");
  EXPECT_EQ(inner_of<std::out_of_range>(third), nullptr);
  for (const auto& exception : {chain, second, third}) EXPECT_FALSE(is_remote(exception));
}

TEST(Exceptions, UnregisteredTypesNestToo) {
  const auto chain = cross([] { nest([] { throw 42; }, Unregistered()); });
  EXPECT_EQ(what_of<std::out_of_range>(chain), "own text");
  EXPECT_EQ(what_of<Error>(inner_of<std::out_of_range>(chain)), "42");
  const auto type_name =
      crossed_as<RemoteException>([&] { std::rethrow_exception(chain); }).type_name();
  EXPECT_EQ(type_name, "killable::(anonymous namespace)::Unregistered");
}

TEST(Exceptions, AThrownTextMayHaveANestedException) {
  const auto chain =
      cross([] { nest([] { throw std::runtime_error("in"); }, std::string("out")); });
  EXPECT_EQ(what_of<Error>(chain), "out");
  EXPECT_EQ(what_of<std::runtime_error>(inner_of<Error>(chain)), "in");
}

TEST(Exceptions, WhatTheHostIsHandlingIsNotNestedInWhatArrives) {
  try {
    throw std::runtime_error("the host's own");
  } catch (...) {
    const auto crossed = cross([] { throw std::logic_error("x"); });
    EXPECT_EQ(inner_of<std::logic_error>(crossed), nullptr);
  }
}

/// Throws `left` exceptions, each nested in the one before.
void nest_deep(int left, const std::string& text) {
  if (left == 1) throw std::runtime_error(text);
  nest([&] { nest_deep(left - 1, text); }, std::runtime_error(text));
}

std::vector<std::string> texts_of(std::exception_ptr chain) {
  std::vector<std::string> texts;
  for (; chain; chain = inner_of<std::runtime_error>(chain))
    texts.push_back(what_of<std::runtime_error>(chain));
  return texts;
}

TEST(Exceptions, AChainIsBoundedInDepth) {
  EXPECT_EQ(texts_of(cross([] { nest_deep(32, "x"); })),
            std::vector<std::string>(32, "x"));
  const auto texts = texts_of(cross([] { nest_deep(40, "x"); }));
  EXPECT_EQ(texts.size(), 33u);
  EXPECT_EQ(texts.back(), "exceptions nested deeper are left out");
}

TEST(Exceptions, AChainOfLongTextsKeepsItsDepthAndItsOutermostText) {
  const std::string text(std::size_t{1} << 20, 'x');
  const auto texts = texts_of(cross([&] { nest_deep(32, text); }));
  ASSERT_EQ(texts.size(), 32u);
  EXPECT_EQ(texts.front().size(), detail::kMaxExceptionTextBytes);
  EXPECT_TRUE(texts[20].ends_with("[cut here: too long]"));
}

// --- Registered types ------------------------------------------------------------------

struct ParseError : std::runtime_error {
  explicit ParseError(const std::string& text, int at = 0)
      : std::runtime_error(text), line(at) {}
  int line;
  std::map<std::string, std::vector<double>> context;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(line, context);
  }
};
struct DerivedParseError : ParseError {
  using ParseError::ParseError;
};
struct Cancelled : std::exception {
  const char* what() const noexcept override { return "cancelled"; }
};
struct Forbidden : std::logic_error {
  using std::logic_error::logic_error;
};
class Described : public std::exception {
 public:
  explicit Described(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};
struct Aggregate {
  int code;
  std::string text;
};
struct Linked : std::runtime_error, std::nested_exception {
  using std::runtime_error::runtime_error;
};
struct Stubborn : std::runtime_error {
  using std::runtime_error::runtime_error;
  bool on_load = false;

  template <class Archive>
  void save(Archive& archive) const {
    if (!on_load) throw std::length_error("will not");
    archive(on_load);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(on_load);
    throw 1;
  }
};
struct Large : std::runtime_error {
  explicit Large(const std::string& text) : std::runtime_error(text) {}
  std::vector<char> bytes;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(bytes);
  }
};

/// Saves more than it loads.
struct Talkative : std::runtime_error {
  using std::runtime_error::runtime_error;

  template <class Archive>
  void save(Archive& archive) const {
    archive(1, 2);
  }
  template <class Archive>
  void load(Archive& archive) {
    int one = 0;
    archive(one);
  }
};

const RegisterException<ParseError> parse_error;
const RegisterException<Talkative> talkative;
const RegisterException<Cancelled> cancelled;
const RegisterException<Forbidden> forbidden;
const RegisterException<Described> described;
const RegisterException<Aggregate> aggregate;
const RegisterException<Linked> linked;
const RegisterException<Stubborn> stubborn;
const RegisterException<Large> large;

ParseError some_parse_error() {
  ParseError error("bad token", 7);
  error.context["x"] = {1, 2.5};
  return error;
}

TEST(RegisteredExceptions, ArriveByTypeWithAllTheirData) {
  const auto crossed = crossed_as<ParseError>([] { throw some_parse_error(); });
  EXPECT_EQ(crossed.line, 7);
  EXPECT_EQ(crossed.context, some_parse_error().context);
  EXPECT_STREQ(crossed.what(), "bad token");
  EXPECT_EQ(crossed_what<std::runtime_error>([] { throw some_parse_error(); }),
            "bad token");
}

TEST(RegisteredExceptions, NeedNoFunctionsIfTheyHaveNothingButAText) {
  EXPECT_EQ(crossed_what<Cancelled>([] { throw Cancelled(); }), "cancelled");
  EXPECT_EQ(crossed_what<Forbidden>([] { throw Forbidden("no"); }), "no");
  EXPECT_EQ(crossed_what<Described>([] { throw Described("text"); }), "text");
}

TEST(RegisteredExceptions, MayBeAggregates) {
  const auto crossed = crossed_as<Aggregate>([] { throw Aggregate{5, "text"}; });
  EXPECT_EQ(crossed.code, 5);
  EXPECT_EQ(crossed.text, "text");
}

TEST(RegisteredExceptions, NestAndAreNestedIn) {
  const auto chain =
      cross([] { nest([] { throw some_parse_error(); }, ParseError("outer", 1)); });
  EXPECT_EQ(what_of<ParseError>(chain), "outer");
  EXPECT_EQ(what_of<ParseError>(inner_of<ParseError>(chain)), "bad token");
}

TEST(RegisteredExceptions, MayBeNestedExceptionsThemselves) {
  const auto chain = cross([] {
    try {
      throw std::out_of_range("in");
    } catch (...) {
      throw Linked("out");
    }
  });
  EXPECT_EQ(what_of<Linked>(chain), "out");
  EXPECT_EQ(what_of<std::out_of_range>(inner_of<Linked>(chain)), "in");
}

TEST(RegisteredExceptions, DoNotTakeWhatTheHostIsHandlingAsNested) {
  detail::HeapSink sink;
  testing::record(sink, [] { throw Linked("alone"); });
  try {
    throw std::runtime_error("the host's own");
  } catch (...) {
    detail::Source source(sink.bytes(), testing::kMemoryBudget);
    const auto crossed = testing::thrown_by<Linked>(
        [&] { std::rethrow_exception(detail::decode_exception(source)); });
    EXPECT_EQ(crossed.nested_ptr(), nullptr);
  }
}

TEST(RegisteredExceptions, DoNotStandForTypesDerivedFromThem) {
  const auto fail = [] { throw DerivedParseError("text"); };
  EXPECT_TRUE(
      crossed_as<RemoteException>(fail).type_name().ends_with("DerivedParseError"));
  EXPECT_EQ(crossed_what<std::runtime_error>(fail), "text");
}

TEST(RegisteredExceptions, ThatFailToEncodeArriveAsIfUnregisteredAndSayWhy) {
  const auto fail = [] { throw Stubborn("text"); };
  const auto remote = crossed_as<RemoteException>(fail);
  EXPECT_TRUE(remote.type_name().ends_with("Stubborn"));
  EXPECT_EQ(remote.message(), "text (its data did not cross: will not)");
  EXPECT_EQ(crossed_what<std::runtime_error>(fail), remote.message());
}

TEST(RegisteredExceptions, ThatFailToDecodeArriveAsIfUnregisteredAndSayWhy) {
  const auto remote = crossed_as<RemoteException>([] {
    Stubborn stubborn_on_load("text");
    stubborn_on_load.on_load = true;
    throw stubborn_on_load;
  });
  EXPECT_TRUE(remote.type_name().ends_with("Stubborn"));
  EXPECT_EQ(remote.message(), "text (its data did not cross: its decoding failed)");
}

TEST(RegisteredExceptions, ThatLeaveDataOverArriveAsIfUnregisteredAndSayWhy) {
  EXPECT_EQ(crossed_what<std::runtime_error>([] { throw Talkative("text"); }),
            "text (its data did not cross: more data than the type has)");
}

TEST(RegisteredExceptions, ThatAreTooLargeArriveAsIfUnregistered) {
  const auto fail_with = [](std::size_t size) {
    return [size] {
      Large large_one("text");
      large_one.bytes.resize(size);
      throw large_one;
    };
  };
  EXPECT_EQ(crossed_as<Large>(fail_with(100'000)).bytes.size(), 100'000u);
  const auto remote = crossed_as<RemoteException>(fail_with(200'000));
  EXPECT_TRUE(
      remote.message().starts_with("text (its data did not cross: cannot encode"));
}

TEST(RegisteredExceptions, AreUnknownOnceTheirRegistrationEnds) {
  struct Temporary : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  detail::HeapSink sink;
  {
    const RegisterException<Temporary> registered;
    testing::record(sink, [] { throw Temporary("text"); });
    detail::Source source(sink.bytes(), testing::kMemoryBudget);
    EXPECT_EQ(what_of<Temporary>(detail::decode_exception(source)), "text");
  }
  detail::Source source(sink.bytes(), testing::kMemoryBudget);
  EXPECT_EQ(what_of<std::runtime_error>(detail::decode_exception(source)),
            "text (its data did not cross: the type is not registered here)");
}

}  // namespace
}  // namespace killable
