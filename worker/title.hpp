#pragma once

#include <string_view>

namespace killable::worker {

/// Remembers the memory of argv, which ps(1) shows. To be called before set_title().
void keep_title_memory(int argc, char** argv) noexcept;

/// Names this process: `comm` (cut to 15 bytes) for `ps -o comm`, "killable: `what`" for
/// `ps -o args`, as far as the memory of argv reaches. See prctl(2), PR_SET_NAME.
void set_title(std::string_view comm, std::string_view what) noexcept;

/// Only the latter, which takes no system call.
void set_title(std::string_view what) noexcept;

}  // namespace killable::worker
