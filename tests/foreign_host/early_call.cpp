// A program that makes its first call too early, in a static initialiser.

#include <killable/killable.hpp>

#include <cstdio>
#include <exception>

namespace {

int twice(int n) { return 2 * n; }

bool call_early() {
  try {
    killable::call(twice, 21);
  } catch (const killable::StartError& error) {
    std::puts(error.what());
    return false;
  }
  return true;
}

const bool worked = call_early();

}  // namespace

int main() {
  std::printf("main: %d\n", killable::call(twice, 21));
  return worked ? 1 : 0;
}
