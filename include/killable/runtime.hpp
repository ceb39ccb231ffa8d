#pragma once

#include <cstddef>
#include <string>

/// The process-wide part of the library: one guard and one fork server for all calls. It
/// starts with the first call and needs nothing from here; these are for programs that
/// want it otherwise.
namespace killable {

struct Config {
  /// How many workers at most are forked ahead of need: a call that finds one starts in
  /// the time of a wake. There are two, and more while calls start that find none. Each
  /// costs some 100 KB of memory. Zero: every call waits for a fork.
  std::size_t spare_workers = 8;

  /// The program that serves calls where the host's own image cannot: absolute path of
  /// killable-worker. Empty: the environment's KILLABLE_WORKER, else where it was
  /// installed.
  std::string worker_path = {};
};

/// Replaces the configuration. Applies to the fork servers that start afterwards, so call
/// it before the first call.
/// Thread-safe. Throws std::invalid_argument for a relative worker_path.
void configure(Config config);

/// Starts the fork server and the spares now instead of at the first call.
/// Blocks until they are ready. Thread-safe. Throws StartError.
void warm_up();

/// For programs without the hook before main, linked with killable::core: to be called
/// first thing in main. Does not return in a process that was executed as one of ours.
void init(int argc, char** argv);

}  // namespace killable
