#pragma once

#include <algorithm>
#include <cstddef>
#include <stop_token>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <killable/detail/crossing.hpp>

/// The shape of a call: which parameters its arguments fill, and whether a stop token
/// goes before them. It is the function's own where it has just one signature, since
/// converting the arguments in the host is what a plain call would do; else it is the
/// arguments'.
namespace killable::detail {

// The parameters of a callable with just one signature. `noexcept` converts away.
template <class R, class... P>
Types<P...> parameters_of(R (*)(P...));
template <class C, class R, class... P>
Types<P...> parameters_of(R (C::*)(P...));
template <class C, class R, class... P>
Types<P...> parameters_of(R (C::*)(P...) const);
template <class C, class R, class... P>
Types<P...> parameters_of(R (C::*)(P...) &);
template <class C, class R, class... P>
Types<P...> parameters_of(R (C::*)(P...) const&);

/// `void` where the parameters depend on the arguments: templates and overload sets.
template <class F>
struct Signature {
  using Type = void;
};
template <class F>
requires requires(F function) { parameters_of(function); }
struct Signature<F> {
  using Type = decltype(parameters_of(std::declval<F>()));
};
template <class F>
requires requires { parameters_of(&F::operator()); }
struct Signature<F> {
  using Type = decltype(parameters_of(&F::operator()));
};

template <class T>
struct DecayedArgument {
  using Type = std::decay_t<T>;
};
template <std::size_t N>
struct DecayedArgument<const char (&)[N]> {
  using Type = std::string;
};
template <std::size_t N>
struct DecayedArgument<char (&)[N]> {
  using Type = std::string;
};

/// What a call without a known signature takes: just its arguments.
template <class T>
using Argument = typename DecayedArgument<T&>::Type;

/// The parameters to fill from the arguments, and whether a stop token goes before them.
template <class F, class Signature, class... Args>
struct CallShape {  // no known signature
  // The order matters: asking with a token would instantiate a generic lambda's body.
  static constexpr bool takes_stop_token() {
    if constexpr (std::is_invocable_v<F&, Argument<Args>...>)
      return false;
    else
      return std::is_invocable_v<F&, std::stop_token, Argument<Args>...>;
  }
  static constexpr bool kTakesStopToken = takes_stop_token();
  using Declared = Types<Argument<Args>...>;
};
template <class F, class... P, class... Args>
struct CallShape<F, Types<P...>, Args...> {
  static constexpr bool kTakesStopToken = false;
  using Declared = Types<P...>;
};
template <class F, class First, class... P, class... Args>
requires std::is_same_v<std::remove_cvref_t<First>, std::stop_token>
struct CallShape<F, Types<First, P...>, Args...> {
  static constexpr bool kTakesStopToken = true;
  using Declared = Types<P...>;
};

/// The first `kCount` of the declared parameters, decayed: the others have defaults.
template <class Declared, std::size_t kCount>
struct StoredParameters;
template <class... P, std::size_t kCount>
struct StoredParameters<Types<P...>, kCount> {
  template <std::size_t... I>
  static auto first(std::index_sequence<I...>)
      -> std::tuple<std::decay_t<std::tuple_element_t<I, std::tuple<P...>>>...>;
  using Type =
      decltype(first(std::make_index_sequence<std::min(kCount, sizeof...(P))>()));
};

}  // namespace killable::detail
