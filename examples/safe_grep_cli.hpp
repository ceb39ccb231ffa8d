#pragma once

#include <unistd.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <iomanip>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// What safe_grep is asked and what it prints: nothing here has to do with workers.
namespace safe_grep {

struct Arguments {
  std::string pattern;
  std::vector<std::string> paths;
  std::chrono::milliseconds timeout{2000};
  bool json = false;
};

inline std::chrono::milliseconds parse_duration(const std::string& text) {
  int count = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit = end;
  if (error == std::errc() && count > 0) {
    if (unit == "ms") return std::chrono::milliseconds(count);
    if (unit == "s") return std::chrono::seconds(count);
  }
  throw std::invalid_argument("bad duration '" + text + "': write it like 500ms or 2s");
}

/// Throws std::invalid_argument that says what is wrong.
inline Arguments parse(int argc, char** argv) {
  const std::string usage =
      "\nusage: safe_grep PATTERN [--timeout 500ms|2s] [--json] PATH...";
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--json")
      arguments.json = true;
    else if (word == "--timeout" && i + 1 < argc)
      arguments.timeout = parse_duration(argv[++i]);
    else if (word.starts_with('-'))
      throw std::invalid_argument("unknown option, or one without its value: " + word +
                                  usage);
    else
      arguments.paths.push_back(word);
  }
  if (arguments.paths.size() < 2)
    throw std::invalid_argument("a pattern and a path are needed" + usage);
  arguments.pattern = arguments.paths.front();
  arguments.paths.erase(arguments.paths.begin());
  return arguments;
}

/// The length in bytes of the UTF-8 character that `text` begins with; 0 if it begins
/// with none. See RFC 3629, section 4.
inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  // Longer than need be, surrogates, and what lies beyond Unicode.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
      (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f))
    return 0;
  const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  return length;
}

/// `text` as a JSON string; bytes that are not UTF-8 become U+FFFD. See RFC 8259.
inline std::string json_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string json = "\"";
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text.front());
    const std::size_t length = utf8_length(text);
    if (length == 0)
      json += "\\ufffd";
    else if (first < 0x20)
      ((json += "\\u00") += kHex[first / 16]) += kHex[first % 16];
    else
      (json += first == '"' || first == '\\' ? "\\" : "") += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return json += '"';
}

/// What became of a file; or, with `matched`, that it was searched and had a match.
enum class Outcome { searched, matched, timed_out, crashed, unreadable };
inline constexpr std::array<std::string_view, 5> kOutcomes{
    "searched", "matched", "timed_out", "crashed", "unreadable"};

/// Matches go to standard output as they come. Failures, a progress line if it is a
/// terminal, and the closing table go to standard error; with `json`, failures and table
/// are objects on standard output, too.
class Output {
 public:
  explicit Output(bool json) : json_(json) {}

  void match(std::string_view path, std::size_t line, std::string_view text) {
    hide_progress();
    if (json_)
      std::cout << R"({"type":"match","path":)" << json_string(path) << R"(,"line":)"
                << line << R"(,"text":)" << json_string(text) << "}\n";
    else
      std::cout << path << ':' << line << ':' << text << '\n';
  }

  void failure(Outcome outcome, std::string_view path, std::string_view reason) {
    count(outcome);
    hide_progress();
    if (json_)
      std::cout << R"({"type":)" << json_string(kOutcomes[index(outcome)])
                << R"(,"path":)" << json_string(path) << R"(,"reason":)"
                << json_string(reason) << "}\n";
    else
      std::cerr << "safe_grep: " << reason << '\n';
  }

  void count(Outcome outcome) { ++counts_[index(outcome)]; }
  std::size_t counted(Outcome outcome) const { return counts_[index(outcome)]; }
  bool has_failures() const {
    return counted(Outcome::timed_out) + counted(Outcome::crashed) +
               counted(Outcome::unreadable) !=
           0;
  }

  void progress(std::size_t done, std::size_t all) {
    std::cout.flush();
    if (!shows_progress_) return;
    hide_progress();
    std::cerr << done << " of " << all << " files" << std::flush;
  }

  void summary() {
    hide_progress();
    std::string json = R"({"type":"summary")";
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      std::string name(kOutcomes[i]);
      json += ',' + json_string(name) + ':' + std::to_string(counts_[i]);
      std::ranges::replace(name, '_', ' ');
      if (!json_)
        std::cerr << std::left << std::setw(12) << name << std::right << std::setw(7)
                  << counts_[i] << '\n';
    }
    if (json_) std::cout << json << "}\n";
  }

 private:
  static std::size_t index(Outcome outcome) { return static_cast<std::size_t>(outcome); }

  void hide_progress() {
    if (shows_progress_) std::cerr << "\r\033[K";
  }

  const bool json_;
  const bool shows_progress_ = isatty(STDERR_FILENO) == 1;
  std::array<std::size_t, kOutcomes.size()> counts_{};
};

}  // namespace safe_grep
