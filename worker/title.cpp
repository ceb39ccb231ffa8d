#include "worker/title.hpp"

#include <sys/prctl.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

namespace killable::worker {

namespace {

std::span<char> title_memory;  // The strings of argv lie one behind the other.

}  // namespace

void keep_title_memory(int argc, char** argv) noexcept {
  char* const begin = argv[0];
  char* const end = argv[argc - 1] + std::strlen(argv[argc - 1]);
  title_memory = {begin, end};
}

void set_title(std::string_view comm, std::string_view what) noexcept {
  char short_name[16] = {};
  comm.copy(short_name, sizeof short_name - 1);
  ::prctl(PR_SET_NAME, short_name);
  set_title(what);
}

void set_title(std::string_view what) noexcept {
  constexpr std::string_view kPrefix = "killable: ";
  if (title_memory.size() < kPrefix.size()) return;
  std::ranges::fill(title_memory, '\0');
  kPrefix.copy(title_memory.data(), kPrefix.size());
  const std::span<char> rest = title_memory.subspan(kPrefix.size());
  what.copy(rest.data(), rest.size());
}

}  // namespace killable::worker
