#include "worker/tree.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <string>

#include "os/children.hpp"
#include "os/deadline.hpp"
#include "os/errno_error.hpp"
#include "os/pidfd.hpp"
#include "os/unique_fd.hpp"
#include "worker/death_watch.hpp"

namespace killable::worker {

namespace {

/// Whether `process` is a child of `parent`. The fields of the stat file that follow the
/// name begin after its last ')': the name itself may hold anything. See proc(5).
bool is_child_of(pid_t process, pid_t parent) {
  const std::string stat =
      os::read_proc(os::open_proc("/proc/" + std::to_string(process) + "/stat"));
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return false;
  int ppid = 0;
  return std::sscanf(stat.c_str() + name_end + 1, " %*c %d", &ppid) == 1 &&
         ppid == parent;
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
    append_children(found[i].pid, os::children_of(found[i].pid), found);
  for (const Descendant& descendant : found) descendant.pidfd.send_signal(SIGKILL);
}

}  // namespace

void kill_descendants(pid_t process) {
  std::deque<Descendant> found;
  append_children(process, os::children_of(process), found);
  kill_trees(std::move(found));
}

std::size_t kill_strange_children(const os::OwnChildren& children,
                                  const std::function<bool(pid_t)>& is_ours) {
  std::vector<pid_t> strangers = children.list();
  std::erase_if(strangers, is_ours);
  // Those that are dead by now count: what they have left came here after the list was
  // made.
  const std::size_t count = strangers.size();
  std::erase_if(strangers, [](pid_t child) { return reap_child(child).has_value(); });
  if (strangers.empty()) return count;
  std::deque<Descendant> found;
  append_children(::getpid(), strangers, found);
  kill_trees(std::move(found));
  return count;
}

void kill_all_descendants() {
  const os::OwnChildren children;
  while (kill_strange_children(children, [](pid_t) { return false; }) != 0)
    os::poll_until({}, os::Deadline::in(kRoundPause));
}

}  // namespace killable::worker
