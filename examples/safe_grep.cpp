// Searches each file in a worker process: std::regex hangs on some patterns and overflows
// its stack on long lines, and a file that brings it to that costs itself alone.

#include <killable/killable.hpp>

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <regex>

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Match {  // an aggregate: crosses as it is
  std::size_t line;
  std::string text;
};
using Search = killable::KillableThread<std::vector<Match>>;

// Runs in a worker. What it throws is caught in the host.
std::vector<Match> search(const std::string& pattern, const std::string& path) {
  const std::regex regex(pattern);
  std::ifstream file(path);
  std::vector<Match> matches;
  std::string text;
  for (std::size_t line = 1; std::getline(file, text); ++line)
    if (std::regex_search(text, regex)) matches.push_back({line, text});
  if (!file.eof()) throw std::system_error(errno, std::generic_category(), path);
  return matches;
}

// A pattern alone can be enough to hang or to crash.
void check(const std::string& pattern) { std::regex{pattern}; }

// Text, or with `json` an object per line; on a terminal also how far the search is.
struct Output {
  bool json = false;
  bool shows_progress = isatty(STDERR_FILENO) == 1;
  std::map<std::string, int> counts{{"matched", 0}, {"timed out", 0}, {"crashed", 0}};

  void print(std::ostream& stream, const std::string& text, const Json& object) const {
    if (shows_progress) std::cerr << "\r\033[K";
    const auto replace = Json::error_handler_t::replace;  // what is not UTF-8
    std::ostream& out = json ? std::cout : stream;
    out << (json ? object.dump(-1, ' ', false, replace) : text) << std::endl;
  }
  void failure(const std::string& kind, const std::string& path, const std::string& why) {
    ++counts[kind];
    print(std::cerr, "safe_grep: " + why, {{kind, path}, {"why", why}});
  }
  void summary() const {
    std::string table;
    for (auto& [kind, n] : counts) table += kind + '\t' + std::to_string(n) + '\n';
    print(std::cerr, table, {{"summary", counts}});
  }
};

void collect(const Search& search, Output& output) try {
  const std::vector<Match> matches = search.getResult();
  for (const auto& [line, text] : matches)
    output.print(std::cout, search.name() + ':' + std::to_string(line) + ':' + text,
                 {{"match", search.name()}, {"line", line}, {"text", text}});
  ++output.counts["searched"];
  if (!matches.empty()) ++output.counts["matched"];
} catch (const killable::TimedOut& error) {
  output.failure("timed out", search.name(), error.what());
} catch (const killable::WorkerCrashed& error) {
  output.failure("crashed", search.name(), error.what());
} catch (const std::exception& error) {
  output.failure("unreadable", search.name(), error.what());
}

// What cannot be listed is taken for a file: its search says what is wrong with it.
void list(const fs::path& path, std::vector<std::string>& files) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error))
    if (!entry.is_symlink() && !entry.is_other()) list(entry.path(), files);
  if (error) files.push_back(path);
}

int main(int argc, char** argv) try {
  Output out;
  std::string pattern;
  std::vector<std::string> paths, files;
  int milliseconds = 2000;
  const std::map<std::string, int> units{{"ms", 1}, {"s", 1000}};
  CLI::App app("Exit status: 0 found, 1 not found, else not all could be searched.");
  app.add_option("PATTERN", pattern)->required();
  app.add_option("PATH", paths)->required();
  app.add_option("--timeout", milliseconds)->transform(CLI::AsNumberWithUnit(units));
  app.add_flag("--json", out.json, "print objects, one in a line");
  CLI11_PARSE(app, argc, argv);
  const std::chrono::milliseconds timeout(milliseconds);
  killable::ProcessPool pool;
  pool.submit({.name = "pattern", .timeout = timeout}, check, pattern).getResult();
  for (const std::string& path : paths) list(path, files);
  std::vector<Search> calls;
  for (std::size_t next = 0, done = 0; done < files.size(); ++done) {
    for (; next < files.size() && calls.size() < 64; ++next)
      calls.push_back(pool.submit({.name = files[next], .timeout = timeout}, search,
                                  pattern, files[next]));
    if (out.shows_progress) std::cerr << done << " of " << files.size() << std::flush;
    const auto ended = calls.begin() + *killable::wait_any(calls);
    collect(*ended, out);
    calls.erase(ended);
  }
  out.summary();
  return out.counts["searched"] < std::ssize(files) ? 2 : out.counts["matched"] == 0;
} catch (const std::exception& error) {
  std::cerr << "safe_grep: " << error.what() << '\n';
  return 2;
}
