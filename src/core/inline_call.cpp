#include <unistd.h>

#include <limits>

#include <killable/detail/function_ref.hpp>

#include "core/fresh_call.hpp"
#include "os/deadline.hpp"

namespace killable::core {

/// Runs the call in this process and thread, through the same encoding as in a worker, so
/// that a debugger sees what a worker would see.
void FreshCall::run_inline() {
  inline_result_ = std::make_unique<InlineResult>();
  detail::Source arguments(request_.arguments->bytes(),
                           std::numeric_limits<std::uint64_t>::max());
  detail::decode_function(arguments);  // The trampoline's name: it is at hand.
  arguments.set_attachments(*request_.memory);
  inline_result_->sink.set_attachments(*request_.memory);

  struct Context {
    detail::WorkerCall call;
    InlineResult& result;
    static Context& of(void* context) { return *static_cast<Context*>(context); }
  } context{.call = {}, .result = *inline_result_};
  detail::WorkerCall& call = context.call;
  call.context = &context;
  call.arguments = &arguments;
  call.value_sink = &inline_result_->sink;
  call.exception_sink = &inline_result_->sink;
  call.enter = [](void*, detail::Entry) {};
  call.leave = [](void*) {};
  call.commit_value = [](void* self) { Context::of(self).call.committed = true; };
  call.commit_exception = [](void* self) {
    Context::of(self).result.kind = wire::ResultKind::exception;
  };
  call.end_unwound = [](void*) {};
  call.stop_token = [](void*) { return std::stop_token(); };

  const std::uint64_t entered = os::monotonic_ns();
  request_.trampoline(call);
  const std::uint64_t left = os::monotonic_ns();

  const std::lock_guard lock(mutex_);
  request_.arguments.reset();
  report_.pid = ::getpid();
  report_.wall = std::chrono::nanoseconds(left - entered);
  state_ =
      inline_result_->kind == wire::ResultKind::value ? State::returned : State::threw;
  if (state_ == State::threw) request_.memory.reset();
  starting_ = false;
}

}  // namespace killable::core
