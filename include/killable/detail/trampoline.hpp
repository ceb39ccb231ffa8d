#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include <killable/detail/archive.hpp>
#include <killable/detail/call_handle.hpp>
#include <killable/detail/callable.hpp>
#include <killable/detail/function_ref.hpp>
#include <killable/detail/worker_call.hpp>

/// One call, seen from both sides: pack() writes in the host what serve() reads in the
/// worker. The trampoline between them is what the host names and the worker finds.
namespace killable::detail {

template <class F>
void encode_callable([[maybe_unused]] Sink& sink, [[maybe_unused]] const F& callable) {
  if constexpr (std::is_pointer_v<F>)
    encode_function(sink, reinterpret_cast<AnyFunction>(callable));
  else if constexpr (is_portable_callable_v<F>)
    callable.encode_to(sink);
  // Any other callable has no state: its type, which the trampoline knows, is all of it.
}

template <class F>
decltype(auto) decode_callable([[maybe_unused]] Source& source) {
  if constexpr (std::is_pointer_v<F>)
    return reinterpret_cast<F>(decode_function(source));
  else if constexpr (is_portable_callable_v<F>)
    return F::decode_from(source);
  else
    return F();
}

/// Runs in the worker. What is committed is safe from the destructors that follow.
template <class Traits>
void serve(WorkerCall& call) {
  constexpr bool kCooperative = Traits::kTakesStopToken;
  decltype(auto) callable = decode_callable<typename Traits::Callable>(*call.arguments);
  auto parameters = decode_arguments<Traits>(*call.arguments);
  call.enter(call.context, kCooperative ? Entry::cooperative : Entry::cancellable);
  std::stop_token token =
      kCooperative ? call.stop_token(call.context) : std::stop_token();
  if constexpr (std::is_void_v<typename Traits::Result>) {
    invoke<Traits>(callable, std::move(token), std::move(parameters));
    call.leave(call.context);
    call.commit_value(call.context);
  } else {
    auto result = invoke<Traits>(callable, std::move(token), std::move(parameters));
    call.leave(call.context);
    encode(*call.value_sink, result);
    call.commit_value(call.context);
  }
}

template <class Traits>
void trampoline(WorkerCall& call) {
  run_call(call, &serve<Traits>);
}

/// Runs in the host.
template <class F, class... Args>
CallRequest pack(Options options, F callable, Args&&... arguments) {
  using Traits = CallTraits<F, Args...>;
  CallRequest request{.options = std::move(options),
                      .arguments = std::make_unique<HeapSink>(),
                      .memory = std::make_unique<CallMemory>(),
                      .trampoline = &trampoline<Traits>,
                      .captured = nullptr};
  request.arguments->set_attachments(*request.memory);
  encode_function(*request.arguments, reinterpret_cast<AnyFunction>(request.trampoline));
  if constexpr (requires { callable.captured(); }) request.captured = callable.captured();
  encode_callable(*request.arguments, callable);
  encode_arguments<Traits>(*request.arguments, std::forward<Args>(arguments)...);
  return request;
}

}  // namespace killable::detail
