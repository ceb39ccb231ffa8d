// A call that returns, and one that has to be killed.

#include <killable/killable.hpp>

#include <iostream>

using namespace std::chrono_literals;

long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main() {
  std::cout << killable::call(fib, 30) << '\n';  // in another process, and back

  killable::KillableThread t(fib, 90);  // would take centuries
  t.start();
  if (!t.join(500ms)) t.kill();
  try {
    std::cout << t.getResult() << '\n';  // the value, or what fib threw, or
  } catch (const killable::Killed& error) {
    std::cout << error.what() << '\n';
  }
}
