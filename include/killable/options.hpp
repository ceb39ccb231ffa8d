#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace killable {

/// Where the worker of a call comes from.
enum class StartMethod {
  /// A fork of the fork server: a clean copy of the program's own image, made ahead.
  fork_server,
  /// A fresh execve(2) of the image for this call: an address-space layout of its own and
  /// static initialisers run anew; costs what starting the program costs.
  spawn,
};

/// How one call is run. All fields have defaults; set what differs by name:
/// `{.name = "decode", .timeout = 500ms}`.
struct Options {
  /// Shown by ps(1) and in errors; ps's short column keeps the first 15 bytes.
  /// Empty: "KillableThread-N".
  std::string name = {};

  StartMethod start_method = StartMethod::fork_server;

  /// Wall time from the function's entry until the call is ended as by kill(). Must be
  /// positive. Enforced outside the host, so that it holds while the host is stopped. A
  /// call that has not entered its function within a minute counts from its start.
  /// Empty: no limit.
  std::optional<std::chrono::nanoseconds> timeout = {};

  /// Time between SIGTERM and SIGKILL. Zero: SIGKILL at once. Must not be negative.
  std::chrono::milliseconds grace_period{100};

  /// The largest encoded result, in bytes, with the SharedArrays that the worker makes; a
  /// larger one is LimitExceeded. The memory that decoding may take is bounded in
  /// proportion. At most PTRDIFF_MAX / 2.
  std::size_t max_result_bytes = std::size_t{1} << 30;
};

}  // namespace killable
