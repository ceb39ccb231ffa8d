// A program that is linked with killable::core and does not call killable::init().

#include <killable/killable.hpp>

#include <cstdio>
#include <exception>

namespace {

int twice(int n) { return 2 * n; }

}  // namespace

int main() {
  try {
    killable::call({.name = "twice"}, twice, 21);
  } catch (const killable::StartError& error) {
    std::puts(error.what());
    return 0;
  }
  return 1;
}
