#include "worker/warm_up.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

#include <killable/detail/exception.hpp>
#include <killable/detail/function_ref.hpp>
#include <killable/errors.hpp>

#include "channel/bell.hpp"
#include "os/deadline.hpp"
#include "os/unique_fd.hpp"
#include "worker/interruption.hpp"
#include "worker/standard_streams.hpp"

namespace killable::worker {

namespace {

/// Goes through what every call goes through. The unwinder looks up its tables at the
/// first throw; the dynamic linker a function at its first call, unless the caller was
/// linked with -z now. Our targets see to that for the program. The C++ library is linked
/// without, and so may a program be that does not come by our targets.
void rehearse() {
  detail::HeapSink sink;
  detail::encode_function(sink, &rehearse);  // Any function will do.
  detail::Source source(sink.bytes(), sink.size());
  detail::decode_function(source);
  sink.clear();
  try {
    throw StartError(ENOEXEC, std::generic_category(), "a rehearsal");
  } catch (...) {
    detail::encode_current_exception(sink);
  }
  rehearse_system_calls();
}

/// Whether this line of /proc/self/maps is of a file, mapped privately and read-only:
/// code or constants. See proc(5).
bool is_read_only_file(const std::string& line, std::uint64_t& begin) {
  char permissions[5] = {};
  unsigned long inode = 0;
  return std::sscanf(line.c_str(), "%lx-%*x %4s %*x %*s %lu", &begin, permissions,
                     &inode) == 3 &&
         inode != 0 && permissions[1] == '-' && permissions[3] == 'p';
}

/// fork(2) copies the page tables only of mappings that have a private page: "Don't copy
/// ptes where a page fault will fill them correctly" (Linux, mm/memory.c). So code and
/// constants fault anew in every worker, a page after the other, and that takes as long
/// as the fork itself. Here each such mapping gets a private page: the first byte is
/// written over itself, through /proc/self/mem, which writes as a debugger does, whatever
/// the protection. Where that is refused, workers take their faults.
void keep_page_tables() {
  const os::UniqueFd memory(::open("/proc/self/mem", O_RDWR | O_CLOEXEC));
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    if (!is_read_only_file(line, begin)) continue;
    const auto at = static_cast<off_t>(begin);
    char first = 0;
    if (::pread(memory.get(), &first, 1, at) != 1 ||
        ::pwrite(memory.get(), &first, 1, at) != 1)
      return;
  }
}

}  // namespace

void warm_up() noexcept {
  interruption::warm_up();
  try {
    rehearse();
    keep_page_tables();
  } catch (const std::exception&) {
    // The first call will say what is wrong.
  }
}

void rehearse_system_calls() noexcept {
  flush_standard_streams();
  channel::ring(-1);
  ::close(-1);
}

}  // namespace killable::worker
