#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <killable/detail/bytes.hpp>
#include <killable/detail/call_rules.hpp>
#include <killable/detail/call_shape.hpp>

namespace killable {

/// What forked() returns: a callable that stays where it is, for a worker that is a fork
/// of this very process and so has it at the same address.
template <class F>
class Forked {
 public:
  explicit Forked(F callable) : callable_(std::make_shared<F>(std::move(callable))) {}

  template <class... Args>
  requires std::is_invocable_v<F&, Args...>
  decltype(auto) operator()(Args&&... arguments) const {
    return (*callable_)(std::forward<Args>(arguments)...);
  }

  std::shared_ptr<void> captured() const { return callable_; }

  void encode_to(detail::Sink& sink) const {
    sink.put(reinterpret_cast<std::uintptr_t>(callable_.get()));
  }

  static Forked decode_from(detail::Source& source) {
    const auto address = source.get<std::uintptr_t>();
    // Not owned: the worker ends without destructors of what the host made.
    return Forked(
        std::shared_ptr<F>(std::shared_ptr<void>(), reinterpret_cast<F*>(address)));
  }

 private:
  explicit Forked(std::shared_ptr<F> callable) : callable_(std::move(callable)) {}

  std::shared_ptr<F> callable_;
};

namespace detail {
/// Arguments are converted to the wrapped callable's own parameter types.
template <class F>
struct Signature<Forked<F>> : Signature<F> {};
template <class F>
inline constexpr bool is_portable_callable_v<Forked<F>> = true;
}  // namespace detail

}  // namespace killable
