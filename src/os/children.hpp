#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "os/unique_fd.hpp"

/// Who descends from whom, as /proc tells it. See proc(5), /proc/pid/task/tid/children
/// (Linux 4.2, CONFIG_PROC_CHILDREN).
namespace killable::os {

/// The children of `process`, all its threads' taken together. Zombies count. Empty if
/// the process is gone.
std::vector<pid_t> children_of(pid_t process);

/// Whether `process` has neither children nor a second thread. False if it is gone, or if
/// that cannot be found out.
bool is_alone(pid_t process);

/// The children of the calling process, which has one thread. Looks cheaply, as often as
/// asked: the file stays open.
class OwnChildren {
 public:
  /// Throws std::system_error.
  OwnChildren();
  /// Zombies count.
  std::vector<pid_t> list() const;

 private:
  os::UniqueFd file_;
};

/// A file of /proc; empty if there is none.
UniqueFd open_proc(const std::string& path);

/// All of it, from the beginning.
std::string read_proc(const UniqueFd& file);

}  // namespace killable::os
