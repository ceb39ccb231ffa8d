#pragma once

#include <sched.h>

#include <array>

/// Which processors run what: the same wake takes ten times as long to another one.
namespace killable::bench {

/// The calling thread runs on `processor` alone from now on.
void pin_to(int processor);

/// The same, until this goes.
class Pinned {
 public:
  explicit Pinned(int processor);
  ~Pinned();
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  cpu_set_t before_;
};

/// The first two processors of this process, or the same twice.
std::array<int, 2> two_processors(bool apart);

}  // namespace killable::bench
