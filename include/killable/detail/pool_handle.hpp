#pragma once

#include <cstddef>
#include <memory>

#include <killable/detail/call_handle.hpp>
#include <killable/pool_options.hpp>

namespace killable::core {
class Pool;
}

/// The compiled core under ProcessPool.
namespace killable::detail {

/// What ProcessPool does, without types.
class PoolHandle {
 public:
  explicit PoolHandle(PoolOptions options);
  ~PoolHandle();
  PoolHandle(const PoolHandle&) = delete;
  PoolHandle& operator=(const PoolHandle&) = delete;

  CallHandle submit(CallRequest request);
  void shutdown();
  void kill_all() noexcept;
  PoolStats stats() const;

  /// How many calls can be queued or running at a time.
  std::size_t capacity() const noexcept;

 private:
  std::shared_ptr<core::Pool> pool_;
};

}  // namespace killable::detail
