#include "channel/mapping.hpp"

#include <optional>

#include <boost/interprocess/mapped_region.hpp>

#include "os/errno_error.hpp"
#include "os/huge_pages.hpp"

namespace killable::channel {

namespace interprocess = boost::interprocess;

namespace {

/// What mapped_region asks of something that can be mapped.
struct Mappable {
  interprocess::mapping_handle_t get_mapping_handle() const {
    return interprocess::ipcdetail::mapping_handle_from_file_handle(memfd);
  }
  int memfd;
};

interprocess::mode_t mode_of(Mapping::Access access) {
  return access == Mapping::Access::read_only ? interprocess::read_only
                                              : interprocess::read_write;
}

}  // namespace

struct Mapping::Region {
  interprocess::mapped_region mapped;
  std::optional<os::HugeView> huge_view = {};
};

Mapping::Mapping() noexcept = default;
Mapping::Mapping(Mapping&&) noexcept = default;
Mapping& Mapping::operator=(Mapping&&) noexcept = default;
Mapping::~Mapping() = default;

Mapping::Mapping(int memfd, Access access, std::uint64_t size, const std::string& what,
                 std::uint64_t offset) {
  if (size == 0) return;
  try {
    region_ = std::make_unique<Region>(Region{
        .mapped = interprocess::mapped_region(Mappable{memfd}, mode_of(access),
                                              static_cast<interprocess::offset_t>(offset),
                                              static_cast<std::size_t>(size))});
  } catch (const interprocess::interprocess_exception& error) {
    os::throw_errno(error.get_native_error(),
                    "map " + std::to_string(size) + " bytes of " + what);
  }
}

std::span<std::byte> Mapping::bytes() const noexcept {
  if (!region_) return {};
  return {static_cast<std::byte*>(region_->mapped.get_address()),
          region_->mapped.get_size()};
}

std::span<std::byte> Mapping::bytes_for(std::uint64_t size) noexcept {
  if (!region_ || size < os::kHugePageBytes) return bytes();
  if (!region_->huge_view) region_->huge_view.emplace(bytes());
  const std::span<std::byte> view = region_->huge_view->bytes();
  return view.empty() ? bytes() : view;
}

}  // namespace killable::channel
