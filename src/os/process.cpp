#include "os/process.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

namespace killable::os {

namespace {

/// A word that the kernel sets to zero in every child. See madvise(2), MADV_WIPEONFORK,
/// Linux 4.14. Null if there is no memory for it.
std::atomic<pid_t>* make_wiped_word() noexcept {
  void* page = ::mmap(nullptr, sizeof(std::atomic<pid_t>), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return nullptr;
  if (::madvise(page, sizeof(std::atomic<pid_t>), MADV_WIPEONFORK) == 0)
    return static_cast<std::atomic<pid_t>*>(page);
  ::munmap(page, sizeof(std::atomic<pid_t>));
  return nullptr;
}

}  // namespace

pid_t this_process() noexcept {
  static std::atomic<pid_t>* const word = make_wiped_word();
  if (word == nullptr) return ::getpid();
  pid_t process = word->load(std::memory_order_relaxed);
  if (process == 0) {
    process = ::getpid();
    word->store(process, std::memory_order_relaxed);
  }
  return process;
}

}  // namespace killable::os
