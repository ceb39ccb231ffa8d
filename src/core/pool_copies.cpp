#include <utility>

#include <killable/errors.hpp>

#include "core/pool.hpp"

/// Arguments and results that take long to copy. Others go on meanwhile: they can submit,
/// and have results of other workers.
namespace killable::core {

/// Lets go of the lock, and keeps all others from the worker.
class Pool::Copying {
 public:
  Copying(Pool& pool, Lock& lock, PoolWorker& worker)
      : pool_(pool), lock_(lock), worker_(worker) {
    worker_.is_led = worker_.is_copying = true;
    lock_.unlock();
  }
  ~Copying() {
    lock_.lock();
    worker_.is_led = worker_.is_copying = false;
    pool_.wake();  // It may have begun to poll all but this one.
  }
  Copying(const Copying&) = delete;
  Copying& operator=(const Copying&) = delete;

 private:
  Pool& pool_;
  Lock& lock_;
  PoolWorker& worker_;
};

/// Checked as take_result() checks it, before anything of that size is made.
std::optional<channel::Committed> Pool::long_result(
    const PoolWorker& worker) const noexcept try {
  const PoolCall* const call = worker.call();
  if (call == nullptr || call->has_ended() || call->outcome_.failure) return std::nullopt;
  if (worker.is_copying || worker.copied_result) return std::nullopt;
  const auto committed = worker.host.slot->committed(worker.host.id, worker.number());
  if (!committed || committed->length < kLongBytes) return std::nullopt;
  call->state_of(*committed);
  return committed;
} catch (const std::exception&) {
  return std::nullopt;  // collect() will see to that.
}

bool Pool::collect(Lock& lock, PoolWorker& worker) {
  if (const auto committed = long_result(worker)) try {
      const auto result = worker.host.slot->result(worker.number(), *committed);
      std::shared_ptr<const detail::HeapSink> copy;
      {
        const Copying copying(*this, lock, worker);
        copy = copy_of_bytes(result.bytes);
      }
      worker.copied_result = std::move(copy);
    } catch (const std::exception&) {
      // It will find the same, and what to do about it.
    }
  const bool is_collected = collect(worker);
  worker.copied_result.reset();  // There may have been another reason to end the call.
  return is_collected;
}

void Pool::give(Lock& lock, PoolWorker& worker, PoolCall& call) {
  if (!call.has_long_arguments()) return give(worker, call);
  if (!hand_over_memory(worker, call)) return;
  const channel::OutgoingCall outgoing = assign(worker, call);
  {
    const Copying copying(*this, lock, worker);
    worker.host.inbox->add(outgoing);
  }
  launch(worker, call);
}

}  // namespace killable::core
