// A user's program that wants no hook: it links killable::core and calls init() first.

#include <killable/killable.hpp>

#include <unistd.h>
#include <cstdio>

int add(int a, int b) { return a + b; }
pid_t where() { return getpid(); }

int main(int argc, char** argv) {
  killable::init(argc, argv);
  const int sum = killable::call(add, 2, 3);
  const bool elsewhere = killable::call(where) != getpid();
  std::printf("initialized: 2 + 3 = %d, in %s process\n", sum,
              elsewhere ? "another" : "this");
  return sum == 5 && elsewhere ? 0 : 1;
}
