#pragma once

#include <sys/types.h>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace killable {

/// Where a call is in its life. It leaves `running` once and never changes again.
///
/// The end is never guessed: `killed` and `timed_out` are ends that this library brought
/// about, `crashed` is a signal from anywhere else, `exited` is the function's own
/// exit(3).
enum class State {
  not_started,  ///< start() has not been called.
  running,      ///< Started: a worker has the call, or a pool has queued it.
  returned,     ///< The function returned; getResult() gives its value.
  threw,        ///< The function threw; getResult() rethrows.
  killed,       ///< Ended by kill() or alike, or for having broken the protocol.
  timed_out,    ///< Options::timeout or PoolOptions::queue_timeout passed.
  crashed,      ///< Ended by a signal that this library did not send.
  exited,       ///< The function called exit(3), _exit(2) or pthread_exit(3).
  lost,         ///< The fork server ended, and the worker with it.
};

/// The enumerator's name, e.g. "timed_out".
std::string_view to_string(State state) noexcept;

/// How a call ended, with the evidence.
struct Report {
  State state = State::not_started;
  pid_t pid = 0;                   ///< The worker's process id; 0 if there was none.
  std::optional<int> signal = {};  ///< The signal that ended the worker. See signal(7).
  std::optional<int> exit_code = {};       ///< Its exit status, if it exited: 0 to 255.
  std::chrono::nanoseconds wall{0};        ///< From the function's entry to the end.
  std::chrono::nanoseconds user_cpu{0};    ///< See getrusage(2), ru_utime.
  std::chrono::nanoseconds system_cpu{0};  ///< See getrusage(2), ru_stime.
  std::uint64_t max_rss_bytes = 0;  ///< Peak resident memory. getrusage(2), ru_maxrss.
};

}  // namespace killable
