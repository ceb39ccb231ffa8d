#include "os/memfd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "os/errno_error.hpp"

namespace killable::os {

namespace {

void add_seals(int memfd, int seals, const std::string& what) {
  if (::fcntl(memfd, F_ADD_SEALS, seals) == -1) throw_errno(errno, "seal " + what);
}

}  // namespace

UniqueFd create_memfd(const std::string& what, std::uint64_t bytes) {
  UniqueFd memfd(::memfd_create("killable", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd) throw_errno(errno, "memfd_create " + what);
  if (::ftruncate(memfd.get(), static_cast<off_t>(bytes)) == -1)
    throw_errno(errno, "size " + what + " to " + std::to_string(bytes) + " bytes");
  add_seals(memfd.get(), F_SEAL_SHRINK | F_SEAL_GROW, what);
  return memfd;
}

void seal_future_writes(int memfd, const std::string& what) {
  add_seals(memfd, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL, what);
}

void seal_seals(int memfd, const std::string& what) {
  add_seals(memfd, F_SEAL_SEAL, what);
}

}  // namespace killable::os
