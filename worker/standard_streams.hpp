#pragma once

namespace killable::worker {

/// Writes out what std::cout, std::clog, stdout and stderr still hold: a worker ends by
/// _exit(2), which does not. Not every FILE, as fflush(nullptr) would: a thread of the
/// function may hold the lock of another one for ever.
void flush_standard_streams() noexcept;

}  // namespace killable::worker
