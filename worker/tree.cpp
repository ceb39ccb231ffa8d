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

using namespace std::chrono_literals;

/// Within this time whatever can notice a SIGKILL has done so.
constexpr auto kPatience = 1s;

/// See proc(5), /proc/pid/stat.
struct Stat {
  char state = 'X';  ///< As if it were gone.
  pid_t parent = 0;
};

/// The fields that follow the name begin after its last ')': the name itself may hold
/// anything.
Stat stat_of(pid_t process) {
  const std::string text =
      os::read_proc(os::open_proc("/proc/" + std::to_string(process) + "/stat"));
  const std::size_t name_end = text.rfind(')');
  Stat stat;
  if (name_end != std::string::npos)
    std::sscanf(text.c_str() + name_end + 1, " %c %d", &stat.state, &stat.parent);
  return stat;
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
    if (pidfd && stat_of(child).parent == parent)
      found.push_back({child, std::move(pidfd)});
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

Strangers::Left Strangers::kill(const std::function<bool(pid_t)>& is_ours) {
  std::vector<pid_t> strangers = children_.list();
  std::erase_if(strangers, is_ours);
  meet(strangers);
  if (strangers.empty()) return Left::nothing;
  // Those that are dead by now count: what they have left came here after the list was
  // made.
  const bool all_linger = std::ranges::all_of(
      strangers, [this](pid_t stranger) { return lingers(stranger); });
  std::erase_if(strangers, [](pid_t child) { return reap_child(child).has_value(); });
  std::deque<Descendant> found;
  append_children(::getpid(), strangers, found);
  kill_trees(std::move(found));
  return all_linger ? Left::lingering : Left::living;
}

void Strangers::meet(const std::vector<pid_t>& strangers) {
  const os::Clock::time_point now = os::Clock::now();
  std::map<pid_t, os::Clock::time_point> met;
  for (const pid_t stranger : strangers) {
    const auto known = met_.find(stranger);
    met.emplace(stranger, known == met_.end() ? now : known->second);
  }
  met_ = std::move(met);
}

bool Strangers::lingers(pid_t child) const {
  if (os::Clock::now() - met_.at(child) < kPatience) return false;
  const char state = stat_of(child).state;
  return (state == 'D' || state == 'Z') && os::children_of(child).empty();
}

void kill_all_descendants() {
  Strangers strangers;
  while (strangers.kill([](pid_t) { return false; }) == Strangers::Left::living)
    os::poll_until({}, os::Deadline::in(kRoundPause));
}

}  // namespace killable::worker
