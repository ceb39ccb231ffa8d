#include "support/fixture.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <killable/killable.hpp>

namespace killable::test {

namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& directory) {
  std::set<std::string> names;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(directory, gone))
    names.insert(entry.path().filename());
  return names;
}

Holdings count_holdings() {
  Holdings holdings{.descriptors = names_in("/proc/self/fd").size(),
                    .mappings = 0,
                    .shm_files = names_in("/dev/shm")};
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("memfd:killable") != std::string::npos) ++holdings.mappings;
  return holdings;
}

std::string list(const std::vector<Process>& processes) {
  std::string text;
  for (const Process& p : processes)
    text += "  " + std::to_string(p.pid) + " (" + p.comm + ", parent " +
            std::to_string(p.parent) + ") " + p.state + "\n";
  return text;
}

bool has_child() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 ||
         errno != ECHILD;
}

}  // namespace

void NothingIsLeft::SetUp() {
  std::string pattern = (fs::temp_directory_path() / "killable-test-XXXXXX").string();
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  directory_ = pattern;
  configure_for_tests();
  warm_up();
  before_ = count_holdings();
}

void NothingIsLeft::TearDown() {
  EXPECT_TRUE(eventually([] { return strays().empty(); })) << list(strays());
  // Shows that the library still works, and brings it to the state of SetUp.
  EXPECT_EQ(call([] { return 7; }), 7);
  warm_up();
  const bool back = eventually([&] { return count_holdings() == before_; });
  const Holdings now = count_holdings();
  EXPECT_TRUE(back) << "descriptors " << before_.descriptors << " -> " << now.descriptors
                    << ", mappings " << before_.mappings << " -> " << now.mappings;
  EXPECT_TRUE(eventually([] {
    return processes_named("killable-guard").size() == 1 &&
           processes_named("killable-server").size() == 1;
  })) << list(other_processes());
  EXPECT_FALSE(has_child()) << "this process has a child";
  fs::remove_all(directory_);
}

void NothingIsLeft::forget_holdings() { before_ = count_holdings(); }

void configure_for_tests() { configure({.spare_workers = 2}); }

void signal_file(const std::string& path, const std::string& text) {
  const std::string draft = path + "." + std::to_string(::getpid());
  std::ofstream(draft) << text;
  fs::rename(draft, path);
}

std::string await_file(const std::string& path) {
  EXPECT_TRUE(eventually([&] { return fs::exists(path); })) << path;
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

pid_t await_pid(const std::string& path) {
  const std::string text = await_file(path);
  return text.empty() ? 0 : std::stoi(text);
}

}  // namespace killable::test
