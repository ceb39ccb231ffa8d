#include <killable/detail/exception.hpp>

#include <gtest/gtest.h>

#include <any>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <typeinfo>
#include <variant>

#include <killable/errors.hpp>

#include "exception_crossing.hpp"
#include "wire/exception_text.hpp"

namespace killable {
namespace {

using detail::kMaxExceptionTextBytes;
using testing::cross;
using testing::crossed_as;
using testing::is_remote;
using testing::thrown_by;

template <class E>
void expect_exact(const E& original) {
  const E crossed = crossed_as<E>([&] { throw original; });
  EXPECT_EQ(typeid(crossed), typeid(E));
  EXPECT_STREQ(crossed.what(), original.what());
  try {
    std::rethrow_exception(cross([&] { throw original; }));
  } catch (const std::exception& caught) {
    EXPECT_EQ(typeid(caught), typeid(E)) << "caught a " << typeid(caught).name();
  }
}

TEST(Exceptions, StandardTypesWithoutATextArriveByExactType) {
  expect_exact(std::exception());
  expect_exact(std::bad_alloc());
  expect_exact(std::bad_array_new_length());
  expect_exact(std::bad_cast());
  expect_exact(std::bad_typeid());
  expect_exact(std::bad_exception());
  expect_exact(std::bad_function_call());
  expect_exact(std::bad_weak_ptr());
  expect_exact(std::bad_optional_access());
  expect_exact(std::bad_variant_access());
  expect_exact(std::bad_any_cast());
}

TEST(Exceptions, StandardTypesArriveByExactTypeWithTheirText) {
  expect_exact(std::logic_error("text"));
  expect_exact(std::invalid_argument("text"));
  expect_exact(std::domain_error("text"));
  expect_exact(std::length_error("text"));
  expect_exact(std::out_of_range("text"));
  expect_exact(std::runtime_error("text"));
  expect_exact(std::range_error("text"));
  expect_exact(std::overflow_error("text"));
  expect_exact(std::underflow_error("text"));
  expect_exact(std::runtime_error(""));
}

TEST(Exceptions, WhatTheLibraryItselfThrowsArrivesByExactType) {
  expect_exact(thrown_by<std::out_of_range>([] { std::string("x").at(7); }));
  expect_exact(thrown_by<std::bad_variant_access>(
      [] { std::get<0>(std::variant<int, char>('x')); }));
  expect_exact(thrown_by<std::bad_any_cast>([] { std::any_cast<int>(std::any('x')); }));
  expect_exact(thrown_by<std::bad_optional_access>(
      [] { static_cast<void>(std::optional<int>().value()); }));
  expect_exact(thrown_by<std::bad_function_call>([] { std::function<void()>()(); }));
  expect_exact(thrown_by<std::invalid_argument>([] { std::stoi("x"); }));
  expect_exact(thrown_by<std::regex_error>([] { std::regex("("); }));
}

TEST(Exceptions, ATextThatATypeCannotTakeArrivesBesideIt) {
  struct Valueless {
    Valueless() = default;
    Valueless(const Valueless&) { throw 1; }
    Valueless& operator=(const Valueless&) = default;
  };
  const auto visit = [] {
    std::variant<int, Valueless> variant;
    const Valueless value;
    try {
      variant.emplace<Valueless>(value);
    } catch (int) {
    }
    std::visit([](const auto&) {}, variant);
  };
  const auto original = thrown_by<std::bad_variant_access>(visit);
  try {
    std::rethrow_exception(cross(visit));
  } catch (const std::bad_variant_access& crossed) {
    EXPECT_STREQ(crossed.what(), original.what());
  }
  EXPECT_EQ(crossed_as<RemoteException>(visit).type_name(), "std::bad_variant_access");
}

TEST(Exceptions, ASystemErrorBringsItsCode) {
  const auto expect_code = [](std::error_code code) {
    const std::system_error original(code, "cannot open");
    expect_exact(original);
    const auto crossed = crossed_as<std::system_error>([&] { throw original; });
    EXPECT_EQ(crossed.code(), code);
  };
  expect_code(std::make_error_code(std::errc::no_such_file_or_directory));
  expect_code({ENOENT, std::system_category()});
  expect_code(std::make_error_code(std::io_errc::stream));
  expect_code(std::make_error_code(std::future_errc::no_state));
  expect_exact(std::system_error(ENOENT, std::system_category()));
}

class WeatherCategory : public std::error_category {
 public:
  const char* name() const noexcept override { return "weather"; }
  std::string message(int value) const override {
    return value == 1 ? "rain" : throw std::runtime_error("no such weather");
  }
};

TEST(Exceptions, AnUnknownErrorCategoryKeepsItsNameAndMessage) {
  const WeatherCategory weather;
  const std::system_error original({1, weather}, "outside");
  expect_exact(original);
  const auto code = crossed_as<std::system_error>([&] { throw original; }).code();
  EXPECT_EQ(code.value(), 1);
  EXPECT_STREQ(code.category().name(), "weather");
  EXPECT_EQ(code.message(), "rain");
  EXPECT_EQ(code, crossed_as<std::system_error>([&] { throw original; }).code());
}

TEST(Exceptions, UnknownErrorCategoriesAreBoundedInNumber) {
  class Numbered : public std::error_category {
   public:
    const char* name() const noexcept override { return "numbered"; }
    std::string message(int value) const override { return std::to_string(value); }
  };
  const Numbered numbered;
  const auto code_of = [&](int value) {
    const std::system_error original({value, numbered}, "x");
    return crossed_as<std::system_error>([&] { throw original; }).code();
  };
  for (int i = 0; i < 300; ++i) EXPECT_EQ(code_of(i).value(), i);
  EXPECT_STREQ(code_of(1000).category().name(), "unknown");
  EXPECT_EQ(code_of(1000).message(), "error 1000");
  expect_exact(std::system_error({1000, numbered}, "the whole text"));
}

TEST(Exceptions, StreamFailuresArriveAsSuch) {
  const auto fail = [] {
    std::istringstream stream;
    stream.exceptions(std::ios::failbit);
    int value = 0;
    stream >> value;
  };
  const auto original = thrown_by<std::ios_base::failure>(fail);
  const auto crossed = crossed_as<std::ios_base::failure>(fail);
  EXPECT_STREQ(crossed.what(), original.what());
  EXPECT_EQ(crossed.code(), original.code());
  EXPECT_FALSE(is_remote(cross(fail)));
  expect_exact(std::ios_base::failure("text"));
}

TEST(Exceptions, AFilesystemErrorBringsItsPathsAndCode) {
  using std::filesystem::filesystem_error;
  const auto code = std::make_error_code(std::errc::permission_denied);
  for (const filesystem_error& original :
       {filesystem_error("cannot", code), filesystem_error("cannot", "/a", code),
        filesystem_error("cannot", "", code),
        filesystem_error("cannot", "/a", "/b", code),
        filesystem_error("cannot", "", "/b", code),
        filesystem_error("", "/a", "", code)}) {
    expect_exact(original);
    const auto crossed = crossed_as<filesystem_error>([&] { throw original; });
    EXPECT_EQ(crossed.path1(), original.path1());
    EXPECT_EQ(crossed.path2(), original.path2());
    EXPECT_EQ(crossed.code(), code);
  }
}

TEST(Exceptions, RegexAndFutureErrorsBringTheirCode) {
  const std::regex_error regex(std::regex_constants::error_brack);
  expect_exact(regex);
  EXPECT_EQ(crossed_as<std::regex_error>([&] { throw regex; }).code(), regex.code());
  const std::future_error future(std::future_errc::broken_promise);
  expect_exact(future);
  EXPECT_EQ(crossed_as<std::future_error>([&] { throw future; }).code(), future.code());
}

Report some_report() {
  using std::chrono::nanoseconds;
  return {.state = State::timed_out,
          .pid = 42,
          .signal = 9,
          .exit_code = {},
          .wall = nanoseconds(5),
          .user_cpu = nanoseconds(6),
          .system_cpu = nanoseconds(7),
          .max_rss_bytes = 8};
}

void expect_some_report(const Report& report) {
  EXPECT_EQ(report.state, State::timed_out);
  EXPECT_EQ(report.pid, 42);
  EXPECT_EQ(report.signal, 9);
  EXPECT_EQ(report.exit_code, std::nullopt);
  EXPECT_EQ(report.wall.count(), 5);
  EXPECT_EQ(report.user_cpu.count(), 6);
  EXPECT_EQ(report.system_cpu.count(), 7);
  EXPECT_EQ(report.max_rss_bytes, 8u);
}

/// One of each error of this library.
auto all_errors() {
  return std::tuple(Error("text"), Killed("text", some_report()),
                    TimedOut("text", std::chrono::seconds(3), some_report()),
                    WorkerCrashed("text", 11, some_report()),
                    WorkerExited("text", 3, some_report()), WorkerLost("text"),
                    QueueFull("text"), LimitExceeded("text"), CodecError("text"),
                    ProtocolViolation("text"), StopRequested(),
                    StartError(ENOENT, std::system_category(), "cannot start"));
}

/// The errors that errors.hpp declares: its classes that have a base.
std::set<std::string> declared_errors() {
  const auto project = std::filesystem::path(__FILE__).parent_path().parent_path();
  std::ifstream header(project / "include/killable/errors.hpp");
  const std::regex declaration("class (\\w+) : public .*");
  std::set<std::string> names;
  std::smatch match;
  for (std::string line; std::getline(header, line);)
    if (std::regex_match(line, match, declaration)) names.insert(match[1]);
  return names;
}

template <class E>
std::string name_of(const E&) {
  const std::string name(wire::TypeName(typeid(E)).text());
  return name.substr(std::string_view("killable::").size());
}

template <class E>
struct Derived : E {
  explicit Derived(const E& error) : E(error) {}
};

TEST(Exceptions, EveryErrorOfThisLibraryArrivesByExactType) {
  std::set<std::string> names;
  const auto expect = [&](const auto& error) {
    EXPECT_NO_THROW(expect_exact(error)) << name_of(error);
    names.insert(name_of(error));
  };
  std::apply([&](const auto&... error) { (expect(error), ...); }, all_errors());
  EXPECT_EQ(names, declared_errors());
}

TEST(Exceptions, WhatDerivesFromAnErrorOfThisLibraryIsCaughtAsThat) {
  const auto expect = [&]<class E>(const E& error) {
    const auto fail = [&] { throw Derived<E>(error); };
    EXPECT_THROW(std::rethrow_exception(cross(fail)), E) << name_of(error);
    EXPECT_TRUE(is_remote(cross(fail))) << name_of(error);
  };
  std::apply([&](const auto&... error) { (expect(error), ...); }, all_errors());
}

TEST(Exceptions, ErrorsOfThisLibraryBringTheirEvidence) {
  expect_exact(StopRequested("text"));
  const StartError start(ENOENT, std::system_category(), "cannot start");
  EXPECT_EQ(crossed_as<StartError>([&] { throw start; }).code(), start.code());

  const Killed killed("text", some_report());
  expect_some_report(crossed_as<Killed>([&] { throw killed; }).report());

  const TimedOut timed_out("text", std::chrono::seconds(3), some_report());
  const auto crossed = crossed_as<TimedOut>([&] { throw timed_out; });
  EXPECT_EQ(crossed.timeout(), std::chrono::seconds(3));
  expect_some_report(crossed.report());

  const WorkerCrashed crashed("text", 11, some_report());
  EXPECT_EQ(crossed_as<WorkerCrashed>([&] { throw crashed; }).signal(), 11);
  expect_some_report(crossed_as<WorkerCrashed>([&] { throw crashed; }).report());

  const WorkerExited exited("text", 3, some_report());
  EXPECT_EQ(crossed_as<WorkerExited>([&] { throw exited; }).exit_code(), 3);
  expect_some_report(crossed_as<WorkerExited>([&] { throw exited; }).report());
}

TEST(Exceptions, ALongTextIsCutAndSaysSo) {
  const std::string text(std::size_t{50} << 20, 'x');
  const auto crossed =
      crossed_as<std::runtime_error>([&] { throw std::runtime_error(text); });
  const std::string what = crossed.what();
  EXPECT_EQ(what.size(), kMaxExceptionTextBytes);
  EXPECT_TRUE(what.starts_with("xxx"));
  EXPECT_TRUE(what.ends_with("[cut here: too long]"));
  const std::string just(kMaxExceptionTextBytes, 'x');
  expect_exact(std::runtime_error(just));
}

TEST(Exceptions, EachDecodingGivesANewObject) {
  detail::HeapSink sink;
  try {
    throw std::runtime_error("text");
  } catch (...) {
    detail::encode_current_exception(sink);
  }
  const auto address = [&] {
    detail::Source source(sink.bytes(), 1 << 20);
    const std::exception_ptr exception = detail::decode_exception(source);
    return exception;
  };
  EXPECT_NE(address(), address());
}

}  // namespace
}  // namespace killable
