// safe_grep PATTERN [--timeout D] [--json] PATH...
//
// Searches files, and all files in directories, for a regular expression. std::regex
// hangs on some patterns and overflows its stack on long lines. So each file is searched
// in a worker process: one that hangs it or crashes it costs that file alone.
//
// Exit status, as grep's: 0 found, 1 not found, 2 not all could be searched.

#include <killable/killable.hpp>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <regex>
#include <thread>

#include "safe_grep_cli.hpp"

using safe_grep::Outcome, safe_grep::Output;
namespace fs = std::filesystem;

struct Match {  // an aggregate: crosses as it is
  std::size_t line;
  std::string text;
};

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

// In a worker, too: a pattern alone can be enough to hang or to crash.
void check(const std::string& pattern) try {
  std::regex{pattern};
} catch (const std::regex_error& error) {
  throw std::invalid_argument("bad pattern '" + pattern + "': " + error.what());
}

using Search = killable::KillableThread<std::vector<Match>>;

void collect(const Search& search, Output& output) try {
  const std::vector<Match> matches = search.getResult();
  for (const Match& match : matches) output.match(search.name(), match.line, match.text);
  output.count(Outcome::searched);
  if (!matches.empty()) output.count(Outcome::matched);
} catch (const killable::TimedOut& error) {
  output.failure(Outcome::timed_out, search.name(), error.what());
} catch (const killable::WorkerCrashed& error) {
  output.failure(Outcome::crashed, search.name(), error.what());
} catch (const std::exception& error) {
  output.failure(Outcome::unreadable, search.name(), error.what());
}

void search_all(const std::string& pattern, const std::vector<std::string>& files,
                std::chrono::milliseconds timeout, Output& output) {
  const std::size_t at_once = std::max(2u, std::thread::hardware_concurrency());
  std::vector<Search> running;
  for (auto next = files.begin(); next != files.end() || !running.empty();) {
    for (; next != files.end() && running.size() < at_once; ++next) {
      Search thread({.name = *next, .timeout = timeout}, search, pattern, *next);
      thread.start();
      running.push_back(std::move(thread));
    }
    const auto ended = running.begin() + *killable::wait_any(running);
    collect(*ended, output);
    running.erase(ended);
    output.progress(next - files.begin() - running.size(), files.size());
  }
}

// What is no directory is taken for a file: its search will say if it is none.
void list(const std::string& path, std::vector<std::string>& files, Output& output) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return files.push_back(path);
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error))
    if (!entry.is_symlink() && (entry.is_directory() || entry.is_regular_file()))
      list(entry.path(), files, output);
  if (error) output.failure(Outcome::unreadable, path, path + ": " + error.message());
}

int main(int argc, char** argv) try {
  const safe_grep::Arguments arguments = safe_grep::parse(argc, argv);
  killable::call({.name = "check the pattern", .timeout = arguments.timeout}, check,
                 arguments.pattern);
  Output output(arguments.json);
  std::vector<std::string> files;
  for (const std::string& path : arguments.paths) list(path, files, output);
  search_all(arguments.pattern, files, arguments.timeout, output);
  output.summary();
  if (output.has_failures()) return 2;
  return output.counted(Outcome::matched) > 0 ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "safe_grep: " << error.what() << '\n';
  return 2;
}
