// Calls and nothing else, for bench/count_syscalls.
//
// Usage: plain_calls fresh|warm COUNT

#include <killable/killable.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

namespace {

using namespace std::chrono_literals;

int answer(int question) { return question + 1; }

/// Between two calls, the next spare is forked and the ended worker is reaped.
void pause() { std::this_thread::sleep_for(50ms); }

void fresh(int count) {
  killable::warm_up();
  for (int i = 0; i < count; ++i) {
    pause();
    killable::call(answer, 1);
  }
}

void warm(int count) {
  killable::ProcessPool pool({.workers = 1});
  for (int i = 0; i < count; ++i) {
    pause();
    pool.submit(answer, 1).getResult();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int count = std::stoi(argv[2]);
  std::string_view(argv[1]) == "fresh" ? fresh(count) : warm(count);
}
