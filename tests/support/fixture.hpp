#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <set>
#include <string>

#include <killable/killable_thread.hpp>

#include "support/eventually.hpp"
#include "support/processes.hpp"

namespace killable::test {

/// Creates the file `path` with `text` in one step: how a worker tells its test
/// something.
void signal_file(const std::string& path, const std::string& text = "");

/// Waits for a file that signal_file() creates, and returns its text. Fails the test if
/// it does not come.
std::string await_file(const std::string& path);

/// Waits for the pid that a worker has signalled.
pid_t await_pid(const std::string& path);

/// What a process holds that a test must give back.
struct Holdings {
  std::size_t descriptors;
  std::size_t mappings;             ///< Of memfds.
  std::set<std::string> shm_files;  ///< In /dev/shm.

  bool operator==(const Holdings&) const = default;
};

/// Proves for each test that it leaves no process, descriptor, shared mapping or file
/// behind, and that the library works after it. Gives the test a directory of its own.
class NothingIsLeft : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// A path in the test's directory.
  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  /// Starts `thread` and waits until its function has signalled the file "ready".
  template <class R>
  void start(KillableThread<R>& thread) {
    thread.start();
    await_file(path("ready"));
  }

  /// For a test that puts another session in the place of the one it found.
  void forget_holdings();

 private:
  std::filesystem::path directory_;
  Holdings before_;
};

/// As many spares at all times, so that a test finds what the one before it has left.
void configure_for_tests();

}  // namespace killable::test
