#include "support/processes.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "os/pidfd.hpp"
#include "support/eventually.hpp"

namespace killable::test {

namespace {

constexpr char kMark[] = "KILLABLE_TEST_FAMILY";

/// What can be read: a process may vanish meanwhile, which a stream would throw for.
std::string read_all(const std::string& path) {
  std::string text;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  char block[4096];
  for (ssize_t size = 0; file >= 0 && (size = ::read(file, block, sizeof block)) > 0;)
    text.append(block, static_cast<std::size_t>(size));
  if (file >= 0) ::close(file);
  return text;
}

/// Executes this program again, once, with the mark in its environment. In the process
/// that ctest started the mark is its own pid, which execve(2) keeps; in guards and
/// workers it is inherited.
const bool marked = [] {
  if (std::getenv(kMark) != nullptr) return true;
  ::setenv(kMark, std::to_string(::getpid()).c_str(), 1);
  const std::string arguments = read_all("/proc/self/cmdline");
  std::vector<char*> argv;
  for (std::size_t at = 0; at < arguments.size();
       at += std::string(&arguments[at]).size() + 1)
    argv.push_back(const_cast<char*>(&arguments[at]));
  argv.push_back(nullptr);
  ::execv("/proc/self/exe", argv.data());
  return false;
}();

std::optional<Process> describe(pid_t pid) {
  const std::string stat = read_all("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t open = stat.find('(');
  const std::size_t close = stat.rfind(')');
  if (close == std::string::npos) return std::nullopt;
  Process process{.pid = pid,
                  .parent = 0,
                  .state = 0,
                  .comm = stat.substr(open + 1, close - open - 1)};
  std::sscanf(stat.c_str() + close + 1, " %c %d", &process.state, &process.parent);
  return process;
}

bool is_family(pid_t pid) {
  const std::string environment =
      '\0' + read_all("/proc/" + std::to_string(pid) + "/environ");
  std::string mark(1, '\0');
  mark.append(kMark).append("=").append(std::getenv(kMark)).push_back('\0');
  return environment.find(mark) != std::string::npos;
}

std::vector<Process> select(auto wanted) {
  std::vector<Process> all = other_processes();
  std::erase_if(all, [&](const Process& process) { return !wanted(process); });
  return all;
}

}  // namespace

std::vector<Process> other_processes() {
  EXPECT_TRUE(marked);
  std::vector<Process> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = std::stoi(name);
    if (pid == ::getpid() || !is_family(pid)) continue;
    const std::optional<Process> process = describe(pid);
    if (process && process->state != 'Z' && process->state != 'X')
      found.push_back(*process);
  }
  return found;
}

std::vector<Process> processes_named(const std::string& comm) {
  return select([&](const Process& process) { return process.comm == comm; });
}

std::vector<Process> strays() {
  return select([](const Process& process) {
    return process.comm != "killable-guard" && process.comm != "killable-server" &&
           process.comm != "killable-spare";
  });
}

bool is_alive(pid_t pid) {
  // Not by its state, which is that of its first thread: others may end after that one,
  // such as the sanitizer's own in each process under ThreadSanitizer.
  const os::Pidfd process = os::Pidfd::open(pid);
  return process ? !process.has_ended() : errno != ESRCH;
}

void end_process(pid_t pid) {
  ASSERT_GT(pid, 0);
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return !is_alive(pid); })) << pid;
}

char process_state(pid_t pid) {
  const std::optional<Process> process = describe(pid);
  return process ? process->state : '\0';
}

pid_t the_process_named(const std::string& comm) {
  std::vector<Process> found;
  // A new worker has its parent's name until it has one of its own.
  const bool one = eventually([&] {
    found = processes_named(comm);
    return found.size() == 1;
  });
  EXPECT_TRUE(one) << found.size() << " processes named " << comm;
  return one ? found[0].pid : 0;
}

}  // namespace killable::test
