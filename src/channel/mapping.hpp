#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace killable::channel {

/// A shared mapping of a memfd, unmapped when its owner goes. Keeps no descriptor.
class Mapping {
 public:
  enum class Access { read_only, read_write };

  Mapping() noexcept;
  /// Maps `size` bytes of `memfd` from `offset`. Throws std::system_error that names
  /// `what`. See mmap(2).
  Mapping(int memfd, Access access, std::uint64_t size, const std::string& what,
          std::uint64_t offset = 0);
  Mapping(Mapping&&) noexcept;
  Mapping& operator=(Mapping&&) noexcept;
  ~Mapping();

  std::span<std::byte> bytes() const noexcept;

  /// The same, for who reads or writes the first `size` of them: from a huge page on, in
  /// a second mapping, which lets these be mapped as such and is made when first asked
  /// for. Small calls go without it and its system calls. Requires: the memfd is mapped
  /// from its beginning. Not thread-safe.
  std::span<std::byte> bytes_for(std::uint64_t size) noexcept;

 private:
  struct Region;
  std::unique_ptr<Region> region_;
};

}  // namespace killable::channel
