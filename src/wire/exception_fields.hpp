#pragma once

#include <concepts>
#include <filesystem>
#include <future>
#include <ios>
#include <regex>
#include <string>
#include <system_error>
#include <variant>

#include <killable/detail/exception.hpp>
#include <killable/errors.hpp>

#include "wire/exception_category.hpp"
#include "wire/exception_text.hpp"

/// What the known exception types hold besides their text, and how they are made from it.
namespace killable::wire {

/// The type's own part of a record; this, for a type that has nothing but a text. What is
/// decoded has the text, too, unless the type offers no way to set it.
template <class E>
struct Fields {
  static void encode(Sink&, const E&, const RecordBounds&) {}
  static E decode(Source&, const std::string& text) {
    if constexpr (std::is_constructible_v<E, const std::string&>)
      return E(text);
    else
      return E();
  }
};

template <>
struct Fields<std::bad_variant_access> {
  static void encode(Sink&, const std::bad_variant_access&, const RecordBounds&) {}
  static std::bad_variant_access decode(Source&, const std::string& text);
};

template <std::derived_from<std::system_error> E>
struct Fields<E> {
  static void encode(Sink& sink, const E& error, const RecordBounds&) {
    write_code(sink, error.code());
  }
  static E decode(Source& source, const std::string& text) {
    E error(read_code(source), "");
    detail::set_text(error, text);  // the constructor adds the code's message to it
    return error;
  }
};

template <>
struct Fields<std::ios_base::failure> {
  static void encode(Sink& sink, const std::ios_base::failure&, const RecordBounds&);
  static std::ios_base::failure decode(Source& source, const std::string& text);
};

template <>
struct Fields<std::filesystem::filesystem_error> {
  using Error = std::filesystem::filesystem_error;
  static void encode(Sink& sink, const Error& error, const RecordBounds& bounds);
  static Error decode(Source& source, const std::string& text);
};

template <>
struct Fields<std::regex_error> {
  static void encode(Sink& sink, const std::regex_error& error, const RecordBounds&);
  static std::regex_error decode(Source& source, const std::string& text);
};

template <>
struct Fields<std::future_error> {
  static void encode(Sink& sink, const std::future_error& error, const RecordBounds&);
  static std::future_error decode(Source& source, const std::string& text);
};

template <>
struct Fields<Killed> {
  static void encode(Sink& sink, const Killed& error, const RecordBounds&);
  static Killed decode(Source& source, const std::string& text);
};

template <>
struct Fields<TimedOut> {
  static void encode(Sink& sink, const TimedOut& error, const RecordBounds&);
  static TimedOut decode(Source& source, const std::string& text);
};

template <>
struct Fields<WorkerCrashed> {
  static void encode(Sink& sink, const WorkerCrashed& error, const RecordBounds&);
  static WorkerCrashed decode(Source& source, const std::string& text);
};

template <>
struct Fields<WorkerExited> {
  static void encode(Sink& sink, const WorkerExited& error, const RecordBounds&);
  static WorkerExited decode(Source& source, const std::string& text);
};

}  // namespace killable::wire
