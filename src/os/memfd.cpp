#include "os/memfd.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "os/errno_error.hpp"

namespace killable::os {

namespace {

UniqueFd create_empty(const std::string& what) {
  UniqueFd memfd(::memfd_create("killable", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memfd) throw_errno(errno, "memfd_create " + what);
  return memfd;
}

/// Where this sets errno, ftruncate(2) would also send SIGXFSZ, which ends the host.
bool is_beyond_file_limit(std::uint64_t bytes) {
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  errno = EFBIG;
  return bytes > limit.rlim_cur;
}

/// One write takes 2 GiB at most. It makes the pages cheaper than a mapping would.
bool write_all(int memfd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        retry_on_eintr([&] { return ::write(memfd, bytes.data(), bytes.size()); });
    if (written == -1) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

UniqueFd create_memfd(const std::string& what, std::uint64_t bytes) {
  UniqueFd memfd = create_empty(what);
  if (is_beyond_file_limit(bytes) ||
      ::ftruncate(memfd.get(), static_cast<off_t>(bytes)) == -1)
    throw_errno(errno, "size " + what + " to " + std::to_string(bytes) + " bytes");
  return memfd;
}

void seal(int memfd, Seals seals, const std::string& what) {
  // Not F_SEAL_WRITE: before Linux 6.7 that forbids shared read-only mappings as well.
  const int writes = seals == Seals::size ? 0 : F_SEAL_FUTURE_WRITE;
  if (::fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | writes) ==
      -1)
    throw_errno(errno, "seal " + what);
}

void discard(int memfd, std::uint64_t offset, std::uint64_t bytes) noexcept {
  ::fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              static_cast<off_t>(offset), static_cast<off_t>(bytes));
}

UniqueFd create_sealed_memfd(const std::string& what,
                             std::span<const std::span<const std::byte>> parts) {
  UniqueFd memfd = create_empty(what);
  std::size_t size = 0;
  for (const std::span<const std::byte> part : parts) size += part.size();
  if (is_beyond_file_limit(size))
    throw_errno(errno, "write " + std::to_string(size) + " bytes of " + what);
  for (const std::span<const std::byte> part : parts)
    if (!write_all(memfd.get(), part))
      throw_errno(errno, "write " + std::to_string(size) + " bytes of " + what);
  seal(memfd.get(), Seals::size_and_future_writes, what);
  return memfd;
}

}  // namespace killable::os
