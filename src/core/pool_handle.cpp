#include <killable/detail/pool_handle.hpp>

#include <utility>

#include <killable/process_pool.hpp>

#include "core/pool.hpp"

namespace killable {

namespace detail {

PoolHandle::PoolHandle(PoolOptions options)
    : pool_(std::make_shared<core::Pool>(
          options, options.initializer ? options.initializer->request_ : nullptr)) {}

PoolHandle::~PoolHandle() {
  if (pool_->is_elsewhere()) {
    // Its thread does not exist here, and its lock may be held.
    [[maybe_unused]] const auto* leaked =
        new std::shared_ptr<core::Pool>(std::move(pool_));
    return;
  }
  shutdown();
}

CallHandle PoolHandle::submit(CallRequest request) {
  return CallHandle(pool_->submit(std::move(request)));
}

void PoolHandle::shutdown() { pool_->shutdown(); }
void PoolHandle::kill_all() noexcept { pool_->kill_all(); }
PoolStats PoolHandle::stats() const { return pool_->stats(); }
std::size_t PoolHandle::capacity() const noexcept { return pool_->capacity(); }

}  // namespace detail

ProcessPool::ProcessPool(PoolOptions options)
    : options_(options.call), handle_(std::move(options)) {}

ProcessPool::~ProcessPool() = default;

void ProcessPool::shutdown() { handle_.shutdown(); }
void ProcessPool::kill_all() noexcept { handle_.kill_all(); }
PoolStats ProcessPool::stats() const { return handle_.stats(); }

}  // namespace killable
