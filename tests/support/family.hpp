#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

/// Descendants that a worker's function can have. Where a `directory` is given, each
/// process signals the file `directory`/<its pid> once it is as it should be.
namespace killable::test {

/// Locks the file `path` for this process and all its future descendants.
void found_lineage(const std::string& path);

/// Whether no process of that lineage is left, or there never was one: the kernel drops
/// the lock with the last.
bool is_extinct(const std::string& path);

enum class Daemonise : bool { no, yes };

/// `generations` processes below the caller, each the child of the one before, in a
/// session of its own and ignoring every signal; with Daemonise::yes by a double fork, so
/// that each loses its parent at once.
void make_generations(const std::string& directory, int generations, Daemonise daemonise);

/// A child not of the caller but of its parent. See clone(2), CLONE_PARENT.
void make_sibling(const std::string& directory);

/// A process that forks itself and ends, again and again, but `hops` times at most.
void make_hopper(const std::string& directory, int hops);

/// What bounds a fork bomb: a SysV semaphore whose SEM_UNDO gives back the token of a
/// process that was killed, so that the bomb refills itself.
class Tokens {
 public:
  explicit Tokens(int count);
  ~Tokens();
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;
  int id() const noexcept { return id_; }

 private:
  int id_;
};

/// Processes that fork as fast as they can, as many at a time as there are `tokens` and
/// `total` in all. Returns when there are no tokens left.
void make_fork_bomb(int tokens, int total);

/// A child that traces the caller and does nothing else; returns when it does.
/// See ptrace(2), PTRACE_SEIZE.
void make_tracer(const std::string& directory, Daemonise daemonise);

/// Waits until `count` processes have signalled in `directory`, and returns their ids.
std::vector<pid_t> await_family(const std::string& directory, std::size_t count);

/// How many of `processes` are alive.
std::size_t count_alive(const std::vector<pid_t>& processes);

}  // namespace killable::test
