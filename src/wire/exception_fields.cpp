#include "wire/exception_fields.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace killable::wire {

namespace {

namespace fs = std::filesystem;
namespace regex = std::regex_constants;
using std::chrono::nanoseconds;

void write_optional(Sink& sink, const std::optional<int>& value) {
  sink.put(static_cast<std::uint8_t>(value.has_value()));
  if (value) sink.put(*value);
}

std::optional<int> read_optional(Source& source) {
  if (source.get<std::uint8_t>() == 0) return std::nullopt;
  return source.get<int>();
}

nanoseconds read_duration(Source& source) {
  return nanoseconds(source.get<nanoseconds::rep>());
}

State read_state(Source& source) {
  const auto state = source.get<State>();
  if (to_string(state) == "unknown")
    throw CodecError("cannot decode an exception: no such state of a call");
  return state;
}

void write_report(Sink& sink, const Report& report) {
  sink.put(report.state);
  sink.put(report.pid);
  write_optional(sink, report.signal);
  write_optional(sink, report.exit_code);
  sink.put(report.wall.count());
  sink.put(report.user_cpu.count());
  sink.put(report.system_cpu.count());
  sink.put(report.max_rss_bytes);
}

Report read_report(Source& source) {
  Report report;
  report.state = read_state(source);
  report.pid = source.get<pid_t>();
  report.signal = read_optional(source);
  report.exit_code = read_optional(source);
  report.wall = read_duration(source);
  report.user_cpu = read_duration(source);
  report.system_cpu = read_duration(source);
  report.max_rss_bytes = source.get<std::uint64_t>();
  return report;
}

/// The argument that a std::system_error was made with: what() adds ": " and the message.
std::string argument_of(std::string_view what, const std::error_code& code) {
  const std::string added = ": " + code.message();
  if (what.ends_with(added)) what.remove_suffix(added.size());
  return std::string(what);
}

/// Makes what std::get() throws, whose text cannot be set.
std::bad_variant_access wrong_alternative() {
  try {
    std::get<0>(std::variant<int, char>('x'));
  } catch (const std::bad_variant_access& thrown) {
    return thrown;
  }
  return {};
}

}  // namespace

std::bad_variant_access Fields<std::bad_variant_access>::decode(Source&,
                                                                const std::string& text) {
  const std::bad_variant_access thrown = wrong_alternative();
  return text == thrown.what() ? thrown : std::bad_variant_access();
}

void Fields<std::ios_base::failure>::encode(Sink& sink,
                                            const std::ios_base::failure& error,
                                            const RecordBounds&) {
  write_code(sink, error.code());
}

std::ios_base::failure Fields<std::ios_base::failure>::decode(Source& source,
                                                              const std::string& text) {
  std::ios_base::failure error("", read_code(source));
  detail::set_text(error, text);
  return error;
}

void Fields<fs::filesystem_error>::encode(Sink& sink, const Error& error,
                                          const RecordBounds& bounds) {
  write_code(sink, error.code());
  // Not the virtual what(): without the paths, which filesystem_error adds to it.
  write_text(sink, {error.std::system_error::what()}, bounds.text);
  write_text(sink, {error.path1().native()}, bounds.name);
  write_text(sink, {error.path2().native()}, bounds.name);
}

fs::filesystem_error Fields<fs::filesystem_error>::decode(Source& source,
                                                          const std::string& text) {
  const std::error_code code = read_code(source);
  const std::string argument = argument_of(read_text(source), code);
  const fs::path first = read_text(source);
  const fs::path second = read_text(source);
  // An empty path leaves "[]" in the text if the constructor was given it.
  for (const Error& error : {Error(argument, code), Error(argument, first, code)})
    if (text == error.what() && error.path1() == first && second.empty()) return error;
  return Error(argument, first, second, code);
}

void Fields<std::regex_error>::encode(Sink& sink, const std::regex_error& error,
                                      const RecordBounds&) {
  sink.put(static_cast<std::int32_t>(error.code()));
}

std::regex_error Fields<std::regex_error>::decode(Source& source,
                                                  const std::string& text) {
  static const std::array kCodes{
      regex::error_collate, regex::error_ctype,     regex::error_escape,
      regex::error_backref, regex::error_brack,     regex::error_paren,
      regex::error_brace,   regex::error_badbrace,  regex::error_range,
      regex::error_space,   regex::error_badrepeat, regex::error_complexity,
      regex::error_stack};
  const auto value = source.get<std::int32_t>();
  const auto code = std::find_if(kCodes.begin(), kCodes.end(), [&](auto candidate) {
    return static_cast<std::int32_t>(candidate) == value;
  });
  if (code == kCodes.end())
    throw CodecError("cannot decode an exception: no such std::regex_error");
  std::regex_error error(*code);
  detail::set_text(error, text);
  return error;
}

void Fields<std::future_error>::encode(Sink& sink, const std::future_error& error,
                                       const RecordBounds&) {
  sink.put(error.code().value());
}

std::future_error Fields<std::future_error>::decode(Source& source,
                                                    const std::string& text) {
  std::future_error error(source.get<std::future_errc>());
  detail::set_text(error, text);
  return error;
}

void Fields<Killed>::encode(Sink& sink, const Killed& error, const RecordBounds&) {
  write_report(sink, error.report());
}

Killed Fields<Killed>::decode(Source& source, const std::string& text) {
  return {text, read_report(source)};
}

void Fields<TimedOut>::encode(Sink& sink, const TimedOut& error, const RecordBounds&) {
  sink.put(error.timeout().count());
  write_report(sink, error.report());
}

TimedOut Fields<TimedOut>::decode(Source& source, const std::string& text) {
  const nanoseconds timeout = read_duration(source);
  return {text, timeout, read_report(source)};
}

void Fields<WorkerCrashed>::encode(Sink& sink, const WorkerCrashed& error,
                                   const RecordBounds&) {
  sink.put(error.signal());
  write_report(sink, error.report());
}

WorkerCrashed Fields<WorkerCrashed>::decode(Source& source, const std::string& text) {
  const int signal = source.get<int>();
  return {text, signal, read_report(source)};
}

void Fields<WorkerExited>::encode(Sink& sink, const WorkerExited& error,
                                  const RecordBounds&) {
  sink.put(error.exit_code());
  write_report(sink, error.report());
}

WorkerExited Fields<WorkerExited>::decode(Source& source, const std::string& text) {
  const int exit_code = source.get<int>();
  return {text, exit_code, read_report(source)};
}

}  // namespace killable::wire
