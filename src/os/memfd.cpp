#include "os/memfd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "os/errno_error.hpp"

namespace killable::os {

namespace {

void add_seals(int memfd, int seals, const std::string& what) {
  if (::fcntl(memfd, F_ADD_SEALS, seals) == -1) throw_errno(errno, "seal " + what);
}

/// Where this sets errno, ftruncate(2) would also send SIGXFSZ, which ends the host.
bool is_beyond_file_limit(std::uint64_t bytes) {
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  errno = EFBIG;
  return bytes > limit.rlim_cur;
}

std::string write_attempt(std::size_t size, const std::string& what) {
  return "write " + std::to_string(size) + " bytes of " + what;
}

}  // namespace

UniqueFd create_memfd(const std::string& what, std::uint64_t bytes) {
  UniqueFd memfd(::memfd_create("killable", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd) throw_errno(errno, "memfd_create " + what);
  if (is_beyond_file_limit(bytes) ||
      ::ftruncate(memfd.get(), static_cast<off_t>(bytes)) == -1)
    throw_errno(errno, "size " + what + " to " + std::to_string(bytes) + " bytes");
  add_seals(memfd.get(), F_SEAL_SHRINK | F_SEAL_GROW, what);
  return memfd;
}

UniqueFd create_sealed_memfd(const std::string& what, std::span<const std::byte> bytes) {
  UniqueFd memfd(::memfd_create("killable", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd) throw_errno(errno, "memfd_create " + what);
  const std::size_t size = bytes.size();
  if (is_beyond_file_limit(size)) throw_errno(errno, write_attempt(size, what));
  // One write takes 2 GiB at most. It makes the pages cheaper than a mapping would.
  while (!bytes.empty()) {
    const ssize_t written =
        retry_on_eintr([&] { return ::write(memfd.get(), bytes.data(), bytes.size()); });
    if (written == -1) throw_errno(errno, write_attempt(size, what));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  // Not F_SEAL_WRITE: before Linux 6.7 that forbids shared read-only mappings as well.
  add_seals(memfd.get(), F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
            what);
  return memfd;
}

void seal_seals(int memfd, const std::string& what) {
  add_seals(memfd, F_SEAL_SEAL, what);
}

}  // namespace killable::os
