#pragma once

#include <functional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

#include <killable/detail/archive.hpp>
#include <killable/detail/call_rules.hpp>
#include <killable/detail/call_shape.hpp>

/// How a call crosses: its arguments are converted to the parameters' types and encoded
/// in the host, and decoded and moved into the function in the worker. The callable
/// itself does not cross. A worker has no object to copy it from, so it is either a
/// function, found by its address in the program's image, or an object without state,
/// made anew.
namespace killable::detail {

/// What the compiler knows of calling `F` with `Args`. Completing it fails with advice
/// where the call cannot cross.
template <class F, class... Args>
struct CallTraits {
 private:
  using Decayed = std::decay_t<F>;
  using Call = AllowedCall<misuse_of_call<Decayed, Args...>(), Decayed, Args...>;

 public:
  using Callable = Decayed;
  /// What is encoded, in order: decayed types, or views that are decoded in place.
  using Parameters = typename Call::Parameters;
  /// Decayed; may be void.
  using Result = typename Call::Result;
  /// True if the function takes a std::stop_token before the parameters.
  static constexpr bool kTakesStopToken = Call::kTakesStopToken;
};

/// The argument as a `Parameter`: itself if it is one already, else converted.
template <class Parameter>
const Parameter& as_parameter(const Parameter& argument) noexcept {
  return argument;
}
template <class Parameter, class Arg>
requires(!std::is_same_v<std::remove_cvref_t<Arg>, Parameter>) Parameter
    as_parameter(Arg&& argument) {
  return static_cast<Parameter>(std::forward<Arg>(argument));
}

/// Writes the arguments of a call, each converted to the type of its parameter.
/// Throws: CodecError, LimitExceeded, and what the conversions throw.
template <class Traits, class... Args>
void encode_arguments([[maybe_unused]] Sink& sink, Args&&... arguments) {
  [&]<class... P>(std::type_identity<std::tuple<P...>>) {
    (encode<P>(sink, as_parameter<P>(std::forward<Args>(arguments))), ...);
  }(std::type_identity<typename Traits::Parameters>());
}

template <class... P>
std::tuple<P...> decode_each(Source& source, std::type_identity<std::tuple<P...>>) {
  return std::tuple<P...>{decode<P>(source)...};  // braces: from left to right
}

/// Reads what encode_arguments() wrote. Views refer to the memory under `source`.
/// Throws: CodecError.
template <class Traits>
typename Traits::Parameters decode_arguments([[maybe_unused]] Source& source) {
  return decode_each(source, std::type_identity<typename Traits::Parameters>());
}

/// Calls `callable`, moving each stored value into the call. `token` is passed on if the
/// function takes one. Throws: what the function throws.
template <class Traits>
typename Traits::Result invoke(typename Traits::Callable& callable, std::stop_token token,
                               typename Traits::Parameters&& parameters) {
  return std::apply(
      [&](auto&&... values) -> typename Traits::Result {
        if constexpr (Traits::kTakesStopToken)
          return std::invoke(callable, std::move(token), std::move(values)...);
        else
          return std::invoke(callable, std::move(values)...);
      },
      std::move(parameters));
}

}  // namespace killable::detail
