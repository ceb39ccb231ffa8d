#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "support/eventually.hpp"
#include "support/processes.hpp"

namespace killable::test {

/// Waits until a thread of this process sleeps. Fails the test if it does not.
inline void await_sleep(pid_t thread) {
  EXPECT_TRUE(eventually([&] { return process_state(thread) == 'S'; }));
}

/// A thread that by now sleeps in `body`. Joined when this goes.
class SleepingThread {
 public:
  explicit SleepingThread(std::function<void()> body)
      : thread_([this, body = std::move(body)] {
          id_ = ::gettid();
          body();
        }) {
    EXPECT_TRUE(eventually([&] { return id_ != 0; }));
    await_sleep(id_);
  }

 private:
  std::atomic<pid_t> id_{0};
  std::jthread thread_;
};

}  // namespace killable::test
