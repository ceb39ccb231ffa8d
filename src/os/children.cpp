#include "os/children.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <memory>

#include "os/errno_error.hpp"

namespace killable::os {

namespace {

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

/// A directory has a link for each of the directories in it, `.` and `..`, and that of
/// /proc/pid/task one for each thread.
constexpr nlink_t kLinksOfOneThread = 3;

std::string tasks_of(pid_t process) {
  return "/proc/" + std::to_string(process) + "/task";
}

}  // namespace

std::string read_proc(const UniqueFd& file) {
  std::string text;
  char block[4096];
  for (;;) {
    const auto at = static_cast<off_t>(text.size());
    const ssize_t size =
        retry_on_eintr([&] { return ::pread(file.get(), block, sizeof block, at); });
    if (size <= 0) return text;
    text.append(block, static_cast<std::size_t>(size));
  }
}

UniqueFd open_proc(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

std::vector<pid_t> children_of(pid_t process) {
  const std::string tasks = tasks_of(process);
  std::vector<pid_t> children;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(tasks.c_str()),
                                                      &::closedir);
  while (directory) {
    const dirent* task = ::readdir(directory.get());
    if (task == nullptr) break;
    if (task->d_name[0] == '.') continue;
    append_numbers(read_proc(open_proc(tasks + "/" + task->d_name + "/children")),
                   children);
  }
  return children;
}

bool is_alone(pid_t process) {
  const std::string tasks = tasks_of(process);
  struct stat directory {};
  if (::stat(tasks.c_str(), &directory) == -1 || directory.st_nlink != kLinksOfOneThread)
    return false;
  const UniqueFd file = open_proc(tasks + "/" + std::to_string(process) + "/children");
  return file && read_proc(file).empty();
}

OwnChildren::OwnChildren() : file_(open_proc("/proc/thread-self/children")) {
  if (!file_) throw_errno(errno, "open /proc/thread-self/children");
}

std::vector<pid_t> OwnChildren::list() const {
  std::vector<pid_t> children;
  append_numbers(read_proc(file_), children);
  return children;
}

}  // namespace killable::os
