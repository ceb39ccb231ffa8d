#include <killable/killable.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <any>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <typeinfo>
#include <variant>

#include "support/fixture.hpp"

/// Types whose names a user would see.
namespace shop {

struct OutOfStock : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Odd {
  int value;
};

/// Registered, with data.
struct ParseError : std::runtime_error {
  explicit ParseError(const std::string& text = "", int at_line = 0)
      : std::runtime_error(text), line(at_line) {}
  template <class Archive>
  void serialize(Archive& archive) {
    archive(line);
  }
  int line;
};
const killable::RegisterException<ParseError> parse_error;

/// Registered, and so is what derives from it.
struct SyntaxError : ParseError {
  using ParseError::ParseError;
  template <class Archive>
  void serialize(Archive& archive) {
    ParseError::serialize(archive);
    archive(token);
  }
  std::string token;
};
const killable::RegisterException<SyntaxError> syntax_error;

enum class Fails : std::uint8_t { encoding, decoding, encoding_oddly };

/// Registered, but its data does not cross.
struct Stubborn : std::logic_error {
  explicit Stubborn(const std::string& text, Fails f = Fails::decoding)
      : std::logic_error(text), fails(f) {}
  template <class Archive>
  void save(Archive& archive) const {
    if (fails == Fails::encoding) throw std::range_error("no encoding today");
    if (fails == Fails::encoding_oddly) throw Odd{1};
    archive(fails);
  }
  template <class Archive>
  void load(Archive&) {
    throw std::range_error("no decoding today");
  }
  Fails fails;
};
const killable::RegisterException<Stubborn> stubborn;

struct Huge : std::runtime_error {
  explicit Huge(const std::string& text) : std::runtime_error(text) {}
  template <class Archive>
  void serialize(Archive& archive) {
    archive(data);
  }
  std::string data = std::string(std::size_t{1} << 20, 'x');
};
const killable::RegisterException<Huge> huge;

/// A value, not an exception, whose decoding throws one.
struct Refuses {
  template <class Archive>
  void save(Archive&) const {}
  template <class Archive>
  void load(Archive&) {
    throw std::range_error("not decoded today");
  }
};

}  // namespace shop

namespace killable::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Exceptions : public NothingIsLeft {};

/// What arrives, caught as E, when a call throws.
template <class E, class... Call>
E caught_from(const Call&... arguments) {
  try {
    call(arguments...);
  } catch (const E& exception) {
    return exception;
  }
  throw std::logic_error("the call did not throw");
}

/// What arrives is an E and nothing that derives from it, with the same text as here.
template <class E, class Function>
void expect_exact(Function function) {
  std::string text;
  try {
    function();
  } catch (const std::exception& local) {
    text = local.what();
  }
  KillableThread thread(function);
  thread.start();
  try {
    thread.getResult();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::exception& remote) {
    EXPECT_EQ(typeid(remote), typeid(E)) << typeid(remote).name();
    EXPECT_EQ(remote.what(), text);
  }
  EXPECT_EQ(thread.state(), State::threw);
}

// --- Standard types ---

TEST_F(Exceptions, StandardTypesArriveByExactTypeWithTheirText) {
  expect_exact<std::logic_error>([] { throw std::logic_error("a"); });
  expect_exact<std::domain_error>([] { throw std::domain_error("b"); });
  expect_exact<std::invalid_argument>([] { throw std::invalid_argument("c"); });
  expect_exact<std::length_error>([] { throw std::length_error("d"); });
  expect_exact<std::out_of_range>([] { throw std::out_of_range("e"); });
  expect_exact<std::runtime_error>([] { throw std::runtime_error("f"); });
  expect_exact<std::range_error>([] { throw std::range_error("g"); });
  expect_exact<std::overflow_error>([] { throw std::overflow_error("h"); });
  expect_exact<std::underflow_error>([] { throw std::underflow_error(""); });
  expect_exact<std::exception>([] { throw std::exception(); });
}

TEST_F(Exceptions, ThoseThatTheLanguageAndTheLibraryThrowArriveByExactType) {
  expect_exact<std::bad_alloc>([] { throw std::bad_alloc(); });
  expect_exact<std::bad_array_new_length>([] { throw std::bad_array_new_length(); });
  expect_exact<std::bad_cast>([] { throw std::bad_cast(); });
  expect_exact<std::bad_typeid>([] { throw std::bad_typeid(); });
  expect_exact<std::bad_optional_access>([] { std::optional<int>().value(); });
  expect_exact<std::bad_variant_access>(
      [] { std::get<int>(std::variant<int, char>('a')); });
  expect_exact<std::bad_weak_ptr>(
      [] { std::shared_ptr<int> shared(std::weak_ptr<int>{}); });
  expect_exact<std::bad_function_call>([] { std::function<void()>()(); });
  expect_exact<std::bad_any_cast>([] { std::any_cast<int>(std::any('a')); });
}

TEST_F(Exceptions, ASystemErrorArrivesWithItsCode) {
  const auto fail = [] {
    throw std::system_error(ENOSPC, std::system_category(), "write");
  };
  const auto caught = caught_from<std::system_error>(fail);
  EXPECT_EQ(caught.code(), std::error_code(ENOSPC, std::system_category()));
  EXPECT_TRUE(caught.code() == std::errc::no_space_on_device);
  expect_exact<std::system_error>(fail);
}

TEST_F(Exceptions, AFilesystemErrorArrivesWithItsPathsAndCode) {
  const auto fail = [] { std::filesystem::rename("/none/a", "/none/b"); };
  const auto caught = caught_from<std::filesystem::filesystem_error>(fail);
  EXPECT_EQ(caught.path1(), "/none/a");
  EXPECT_EQ(caught.path2(), "/none/b");
  EXPECT_EQ(caught.code(), std::errc::no_such_file_or_directory);
  expect_exact<std::filesystem::filesystem_error>(fail);
}

TEST_F(Exceptions, IostreamAndFutureErrorsArriveWithTheirCode) {
  const auto stream = [] {
    std::ifstream file;
    file.exceptions(std::ios::failbit);
    file.open("/none");
  };
  EXPECT_EQ(caught_from<std::ios_base::failure>(stream).code(),
            std::make_error_code(std::io_errc::stream));
  const auto future = [] {
    std::future<int> broken = std::promise<int>().get_future();
    broken.get();
  };
  EXPECT_EQ(caught_from<std::future_error>(future).code(),
            std::make_error_code(std::future_errc::broken_promise));
}

TEST_F(Exceptions, ARegexErrorArrivesWithItsCode) {
  const auto fail = [] { std::regex("("); };
  EXPECT_EQ(caught_from<std::regex_error>(fail).code(),
            std::regex_constants::error_paren);
}

TEST_F(Exceptions, TheLibrarysOwnArriveFromANestedCall) {
  const auto nested = [] { call([] { ::_exit(9); }); };
  EXPECT_EQ(caught_from<WorkerExited>(nested).exit_code(), 9);
}

TEST_F(Exceptions, ASpawnedWorkerThrowsThemToo) {
  const auto fail = [] { throw std::out_of_range("e"); };
  try {
    call({.start_method = StartMethod::spawn}, fail);
    ADD_FAILURE();
  } catch (const std::out_of_range& error) {
    EXPECT_STREQ(error.what(), "e");
  }
}

// --- Registered types ---

TEST_F(Exceptions, ARegisteredTypeArrivesWithItsData) {
  const auto parse = [](int line) { throw shop::ParseError("no value", line); };
  const auto caught = caught_from<shop::ParseError>(parse, 12);
  EXPECT_STREQ(caught.what(), "no value");
  EXPECT_EQ(caught.line, 12);
}

TEST_F(Exceptions, ARegisteredTypeArrivesByExactTypeAndIsCaughtByItsBases) {
  const auto parse = [] {
    shop::SyntaxError error("no value", 12);
    error.token = "}";
    throw error;
  };
  const auto caught = caught_from<shop::SyntaxError>(parse);
  EXPECT_EQ(caught.line, 12);
  EXPECT_EQ(caught.token, "}");
  EXPECT_EQ(caught_from<shop::ParseError>(parse).line, 12);
  EXPECT_STREQ(caught_from<std::runtime_error>(parse).what(), "no value");
}

// --- Other types ---

TEST_F(Exceptions, AnUnregisteredTypeIsCaughtByItsNearestStandardBase) {
  const auto sell = [] { throw shop::OutOfStock("none left"); };
  EXPECT_STREQ(caught_from<std::runtime_error>(sell).what(), "none left");
}

TEST_F(Exceptions, AnUnregisteredTypeIsCaughtByStdException) {
  const auto sell = [] { throw shop::OutOfStock("none left"); };
  try {
    call(sell);
    ADD_FAILURE();
  } catch (const std::exception& error) {
    EXPECT_STREQ(error.what(), "none left");
  }
}

TEST_F(Exceptions, AnUnregisteredTypeIsCaughtByRemoteExceptionWithItsDemangledName) {
  const auto sell = [] { throw shop::OutOfStock("none left"); };
  const auto remote = caught_from<RemoteException>(sell);
  EXPECT_EQ(remote.type_name(), "shop::OutOfStock");
  EXPECT_EQ(remote.message(), "none left");
}

TEST_F(Exceptions, WhatHasNoStandardBaseIsCaughtByErrorAndTellsItsValue) {
  const auto throws = [] { throw 42; };
  EXPECT_THAT(caught_from<Error>(throws).what(), HasSubstr("42"));
  EXPECT_EQ(caught_from<RemoteException>(throws).type_name(), "int");
  EXPECT_EQ(caught_from<RemoteException>(throws).message(), "42");
  EXPECT_EQ(caught_from<RemoteException>([] { throw "a literal"; }).message(),
            "a literal");
  EXPECT_EQ(caught_from<RemoteException>([] { throw shop::Odd{3}; }).type_name(),
            "shop::Odd");
}

// --- Nested ---

TEST_F(Exceptions, TheChainOfNestedExceptionsArrivesWhole) {
  const auto fail = [] {
    try {
      try {
        throw shop::ParseError("innermost", 3);
      } catch (...) {
        std::throw_with_nested(std::out_of_range("middle"));
      }
    } catch (...) {
      std::throw_with_nested(std::runtime_error("outermost"));
    }
  };
  try {
    call(fail);
    FAIL();
  } catch (const std::runtime_error& outermost) {
    EXPECT_STREQ(outermost.what(), "outermost");
    try {
      std::rethrow_if_nested(outermost);
      FAIL();
    } catch (const std::out_of_range& middle) {
      EXPECT_STREQ(middle.what(), "middle");
      try {
        std::rethrow_if_nested(middle);
        FAIL();
      } catch (const shop::ParseError& innermost) {
        EXPECT_STREQ(innermost.what(), "innermost");
        EXPECT_EQ(innermost.line, 3);
      }
    }
  }
}

// --- As values ---

TEST_F(Exceptions, AnExceptionReturnedAsAValueIsAValue) {
  KillableThread thread([] { return shop::ParseError("as a value", 5); });
  thread.start();
  EXPECT_EQ(thread.getResult().line, 5);
  EXPECT_EQ(thread.state(), State::returned);
}

TEST_F(Exceptions, AnExceptionThrownAndCaughtInTheWorkerIsNoneOfTheHosts) {
  const auto recover = [] {
    try {
      throw std::runtime_error("inside");
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(call(recover), "inside");
}

// --- What does not cross ---

TEST_F(Exceptions, OneThatFailsToEncodeTellsItsTypeItsTextAndWhy) {
  const auto fail = [](shop::Fails fails) { throw shop::Stubborn("original", fails); };
  const auto remote = caught_from<RemoteException>(fail, shop::Fails::encoding);
  EXPECT_EQ(remote.type_name(), "shop::Stubborn");
  EXPECT_THAT(remote.message(), StartsWith("original"));
  EXPECT_THAT(remote.message(), HasSubstr("no encoding today"));
  EXPECT_THAT(caught_from<std::logic_error>(fail, shop::Fails::encoding_oddly).what(),
              StartsWith("original"));
  EXPECT_EQ(call([] { return 7; }), 7);
}

TEST_F(Exceptions, OneThatFailsToDecodeTellsItsTypeItsTextAndWhy) {
  KillableThread thread([] { throw shop::Stubborn("original"); });
  thread.start();
  for (int i = 0; i < 2; ++i) {
    try {
      thread.getResult();
      ADD_FAILURE();
    } catch (const RemoteException& remote) {
      EXPECT_EQ(remote.type_name(), "shop::Stubborn");
      EXPECT_THAT(remote.message(), StartsWith("original"));
      EXPECT_THAT(remote.message(), HasSubstr("no decoding today"));
    }
  }
  EXPECT_THROW(thread.getResult(), std::logic_error);
  EXPECT_EQ(call([] { return 7; }), 7);
}

TEST_F(Exceptions, OneWithTooMuchDataTellsItsTypeAndText) {
  const auto fail = [] { throw shop::Huge("original"); };
  EXPECT_EQ(caught_from<RemoteException>(fail).type_name(), "shop::Huge");
  EXPECT_THAT(caught_from<std::runtime_error>(fail).what(), StartsWith("original"));
}

constexpr std::size_t kFiftyMegabytes = 50'000'000;

TEST_F(Exceptions, ATextOf50MegabytesIsCut) {
  const auto fail = [](std::size_t size) {
    throw std::runtime_error("begins so " + std::string(size, 'x'));
  };
  const std::string what = caught_from<std::runtime_error>(fail, kFiftyMegabytes).what();
  EXPECT_THAT(what, StartsWith("begins so xxx"));
  EXPECT_LT(what.size(), std::size_t{1} << 20);
}

TEST_F(Exceptions, ArgumentsOf50MegabytesDoNotComeBackWithTheError) {
  const Options small{.max_result_bytes = 1000};
  const auto fail = [](std::string_view) { throw std::runtime_error("short"); };
  try {
    call(small, fail, std::string(kFiftyMegabytes, 'x'));
    ADD_FAILURE();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "short");
  }
}

TEST_F(Exceptions, OneArrivesAlsoWhereNoResultMayBeLargeEnough) {
  const Options none{.max_result_bytes = 0};
  try {
    call(none, [] { throw shop::ParseError("the text", 3); });
    ADD_FAILURE();
  } catch (const shop::ParseError& error) {
    EXPECT_STREQ(error.what(), "the text");
    EXPECT_EQ(error.line, 3);
  }
}

TEST_F(Exceptions, OneOutOfAnArgumentsDecodingIsTheCalls) {
  const auto take = [](const shop::Refuses&) {};
  EXPECT_STREQ(caught_from<std::range_error>(take, shop::Refuses()).what(),
               "not decoded today");
}

}  // namespace
}  // namespace killable::test
