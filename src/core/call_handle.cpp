#include <killable/detail/call_handle.hpp>

#include <algorithm>
#include <utility>

#include "core/fresh_call.hpp"
#include "core/wait_set.hpp"
#include "os/deadline.hpp"

namespace killable::detail {

namespace {

os::Deadline deadline_in(std::optional<std::chrono::nanoseconds> timeout) {
  return timeout ? os::Deadline::in(*timeout) : os::Deadline::never();
}

/// One that is killed has ended before it is reaped, which join() would wait for.
bool has_ended(core::Call& call) {
  return call.join(os::Deadline::in(std::chrono::nanoseconds{0})) ||
         call.state() != State::running;
}

}  // namespace

CallHandle::CallHandle(CallRequest request)
    : call_(std::make_shared<core::FreshCall>(std::move(request))) {}
CallHandle::CallHandle(std::shared_ptr<core::Call> call) : call_(std::move(call)) {}
CallHandle::CallHandle(CallHandle&&) noexcept = default;
CallHandle& CallHandle::operator=(CallHandle&&) noexcept = default;
CallHandle::~CallHandle() = default;

void CallHandle::start() { call_->start(); }
void CallHandle::run() { call_->run(); }
void CallHandle::join() { call_->join(os::Deadline::never()); }

bool CallHandle::join(std::chrono::nanoseconds timeout) {
  return call_->join(os::Deadline::in(timeout));
}

pid_t CallHandle::get_id() const { return call_->get_id(); }
const std::string& CallHandle::name() const noexcept { return call_->name(); }
bool CallHandle::request_stop() { return call_->request_stop(); }

void CallHandle::raise_exception() noexcept {
  call_->end(wire::EndMode::terminate, std::chrono::nanoseconds{0});
}

void CallHandle::kill() noexcept {
  call_->end(wire::EndMode::kill, call_->grace_period());
}

void CallHandle::kill(std::chrono::milliseconds grace_period) noexcept {
  call_->end(wire::EndMode::kill, os::saturated(grace_period));
}

State CallHandle::state() const noexcept { return call_->state(); }
Report CallHandle::report() const { return call_->report(); }
Source CallHandle::result() const { return call_->result(); }

std::optional<std::size_t> wait_any_of(std::span<const CallHandle* const> handles,
                                       std::optional<std::chrono::nanoseconds> timeout) {
  const os::Deadline deadline = deadline_in(timeout);
  while (!handles.empty()) {
    for (std::size_t i = 0; i < handles.size(); ++i)
      if (has_ended(*handles[i]->call_)) return i;
    if (deadline.passed()) break;
    core::WaitSet wait_set;
    wait_set.limit(deadline);
    const bool all_run = std::ranges::all_of(handles, [&](const CallHandle* handle) {
      return handle->call_->watch(wait_set);
    });
    if (all_run) wait_set.wait();
  }
  return std::nullopt;
}

}  // namespace killable::detail
