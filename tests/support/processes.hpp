#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

/// The processes of a test: this one and everything that descends from it, however it was
/// reparented. They are known by a variable in the environment that they were executed
/// with, which no fork or setsid sheds. The test program executes itself once, before
/// main, to have one of its own.
namespace killable::test {

struct Process {
  pid_t pid;
  pid_t parent;
  char state;  ///< As in proc(5): 'R', 'S', 'T', 'Z' and so on.
  std::string comm;
};

/// All others of this test program that are alive; zombies are not.
std::vector<Process> other_processes();

/// Those with this name in ps's short column.
std::vector<Process> processes_named(const std::string& comm);

/// All others but guard, fork server and spares.
std::vector<Process> strays();

/// Whether a thread of `pid` is alive; a zombie is not.
bool is_alive(pid_t pid);

/// SIGKILLs `pid` and waits until every thread of it has ended: from then on whoever
/// watches it knows. It vanishes from the lists above a moment earlier.
void end_process(pid_t pid);

/// Its state as in proc(5); 0 if there is no such process.
char process_state(pid_t pid);

/// Waits until there is just one process of that name. Fails the test if it does not come
/// to that.
pid_t the_process_named(const std::string& comm);

}  // namespace killable::test
