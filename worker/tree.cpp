#include "worker/tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>

#include "os/deadline.hpp"
#include "os/errno_error.hpp"
#include "os/pidfd.hpp"
#include "os/unique_fd.hpp"

namespace killable::worker {

namespace {

using namespace std::chrono_literals;

/// How long a round waits for what it killed before the next one looks again.
constexpr auto kRoundPause = 1ms;

/// From its beginning, wherever `file` stands.
std::string read_all(const os::UniqueFd& file) {
  std::string text;
  char block[4096];
  for (;;) {
    const auto at = static_cast<off_t>(text.size());
    const ssize_t size =
        os::retry_on_eintr([&] { return ::pread(file.get(), block, sizeof block, at); });
    if (size <= 0) return text;
    text.append(block, static_cast<std::size_t>(size));
  }
}

os::UniqueFd open_file(const std::string& path) {
  return os::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

void append_numbers(const std::string& text, std::vector<pid_t>& numbers) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    pid_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error == std::errc()) numbers.push_back(number);
    at = next + 1;
  }
}

/// Whether `process` is a child of `parent`. The fields of the stat file that follow the
/// name begin after its last ')': the name itself may hold anything. See proc(5).
bool is_child_of(pid_t process, pid_t parent) {
  const std::string stat =
      read_all(open_file("/proc/" + std::to_string(process) + "/stat"));
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return false;
  int ppid = 0;
  return std::sscanf(stat.c_str() + name_end + 1, " %*c %d", &ppid) == 1 &&
         ppid == parent;
}

/// The children of `process`, all its threads' taken together. Zombies count. Empty if
/// the process is gone. See proc(5), /proc/pid/task/tid/children.
std::vector<pid_t> children_of(pid_t process) {
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  std::vector<pid_t> children;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(tasks.c_str()),
                                                      &::closedir);
  while (directory) {
    const dirent* task = ::readdir(directory.get());
    if (task == nullptr) break;
    if (task->d_name[0] == '.') continue;
    append_numbers(read_all(open_file(tasks + "/" + task->d_name + "/children")),
                   children);
  }
  return children;
}

struct Descendant {
  pid_t pid;
  os::Pidfd pidfd;
};

/// Adds the children of `parent` to `found`. A pid that was read a moment ago may name a
/// stranger by now: the pidfd holds on to whoever has it, and only who is the parent's
/// child after that is meant. Out of descriptors, it leaves the rest to the next round.
void append_children(pid_t parent, const std::vector<pid_t>& children,
                     std::deque<Descendant>& found) {
  for (const pid_t child : children) {
    os::Pidfd pidfd = os::Pidfd::open(child);
    if (pidfd && is_child_of(child, parent)) found.push_back({child, std::move(pidfd)});
  }
}

/// SIGKILLs all in `found` and all their descendants: first the whole tree is collected,
/// then it is killed from the top, so that what is dead forks no more.
void kill_trees(std::deque<Descendant> found) {
  for (std::size_t i = 0; i < found.size(); ++i)
    append_children(found[i].pid, children_of(found[i].pid), found);
  for (const Descendant& descendant : found) descendant.pidfd.send_signal(SIGKILL);
}

}  // namespace

void kill_descendants(pid_t process) {
  std::deque<Descendant> found;
  append_children(process, children_of(process), found);
  kill_trees(std::move(found));
}

OwnChildren::OwnChildren() : file_(open_file("/proc/thread-self/children")) {
  if (!file_) os::throw_errno(errno, "open /proc/thread-self/children");
}

std::vector<pid_t> OwnChildren::list() const {
  std::vector<pid_t> children;
  append_numbers(read_all(file_), children);
  return children;
}

std::size_t kill_strange_children(const OwnChildren& children,
                                  const std::function<bool(pid_t)>& is_ours) {
  std::vector<pid_t> strangers = children.list();
  std::erase_if(strangers, is_ours);
  if (strangers.empty()) return 0;
  std::deque<Descendant> found;
  append_children(::getpid(), strangers, found);
  kill_trees(std::move(found));
  return strangers.size();
}

void kill_all_descendants() {
  const OwnChildren children;
  for (;;) {
    siginfo_t info{};
    while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WALL) == 0 && info.si_pid != 0)
      info.si_pid = 0;
    if (kill_strange_children(children, [](pid_t) { return false; }) == 0) return;
    os::poll_until({}, os::Deadline::in(kRoundPause));
  }
}

}  // namespace killable::worker
