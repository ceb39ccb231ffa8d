#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <tuple>
#include <type_traits>

#include <killable/detail/archive.hpp>
#include <killable/detail/call_shape.hpp>

/// What may not cross a process, and what the compiler says about it. A call breaks at
/// most one rule at a time, so that the first line of the compiler's output is the
/// advice.
namespace killable::detail {

/// True for a callable that brings its own way into the worker. Specialise it.
template <class F>
inline constexpr bool is_portable_callable_v = false;

/// Why a call cannot cross; ObeyRules has the advice.
enum class CallMisuse {
  none,
  member_pointer,
  reference,
  std_function,
  captures,
  capture_default,
  mutable_reference,
  pointer,
  arity,
  types,
  unencodable_parameter,
  pointer_result,
  unencodable_result,
};

/// The same mistake in a value of any kind, whose advice then counts here, too.
consteval Misuse as_misuse_of_value(CallMisuse misuse) {
  switch (misuse) {
    case CallMisuse::pointer: return Misuse::raw_pointer;
    case CallMisuse::reference: return Misuse::reference;
    default: return Misuse::none;
  }
}

/// Fails to compile, with advice, unless `kMisuse` is `none`, or is about a type that
/// cannot be encoded: its codec has more to say.
template <CallMisuse kMisuse>
struct ObeyRules {
  static_assert((advise<as_misuse_of_value(kMisuse)>(), true));
  static_assert(kMisuse != CallMisuse::captures,
                "captures cannot cross a process: pass them as arguments, or wrap the "
                "callable in killable::forked()");
  static_assert(kMisuse != CallMisuse::capture_default,
                "this callable has no default constructor to make it anew in the worker: "
                "write [] instead of a capture default such as [&]");
  static_assert(kMisuse != CallMisuse::member_pointer,
                "a member function needs its object: wrap it in a lambda that takes the "
                "object as an argument");
  static_assert(kMisuse != CallMisuse::std_function,
                "std::function hides what it holds: pass the function itself, or wrap it "
                "in killable::forked()");
  static_assert(
      kMisuse != CallMisuse::mutable_reference,
      "the function would change the worker's copy: return the new value instead");
  static_assert(kMisuse != CallMisuse::arity,
                "wrong number of arguments: pass one for each parameter of the function");
  static_assert(kMisuse != CallMisuse::types,
                "wrong types of arguments: the function cannot be called with them");
  static_assert(kMisuse != CallMisuse::pointer_result,
                "a pointer or reference into the worker means nothing here: return the "
                "value, a std::string or a std::vector");
};

template <class T>
inline constexpr bool is_reference_wrapper_v = false;
template <class T>
inline constexpr bool is_reference_wrapper_v<std::reference_wrapper<T>> = true;

template <class T>
inline constexpr bool is_std_function_v = false;
template <class T>
inline constexpr bool is_std_function_v<std::function<T>> = true;

template <class T>
inline constexpr bool is_mutable_span_v = false;
template <class T, std::size_t kExtent>
inline constexpr bool is_mutable_span_v<std::span<T, kExtent>> = !std::is_const_v<T>;

template <class T>
inline constexpr bool is_mutable_v = is_mutable_span_v<std::remove_cvref_t<T>> ||
                                     (std::is_lvalue_reference_v<T> &&
                                      !std::is_const_v<std::remove_reference_t<T>>);

template <class T>
inline constexpr bool is_pointer_like_v =
    std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T>;

template <class F>
constexpr CallMisuse misuse_of_callable() {
  if (is_portable_callable_v<F>) return CallMisuse::none;
  if (std::is_member_pointer_v<F>) return CallMisuse::member_pointer;
  if (is_reference_wrapper_v<F>) return CallMisuse::reference;
  if (is_std_function_v<F>) return CallMisuse::std_function;
  if (!std::is_class_v<F>) return CallMisuse::none;
  if (!std::is_empty_v<F>) return CallMisuse::captures;
  return std::is_default_constructible_v<F> ? CallMisuse::none
                                            : CallMisuse::capture_default;
}

template <class... P>
constexpr CallMisuse misuse_of_parameters(Types<P...>) {
  if ((is_reference_wrapper_v<std::decay_t<P>> || ...)) return CallMisuse::reference;
  if ((is_mutable_v<P> || ...)) return CallMisuse::mutable_reference;
  if ((is_pointer_like_v<std::decay_t<P>> || ...)) return CallMisuse::pointer;
  return CallMisuse::none;
}

template <class... Args, class... P>
constexpr CallMisuse misuse_of_arguments(std::type_identity<std::tuple<P...>>) {
  if constexpr (sizeof...(Args) != sizeof...(P))
    return CallMisuse::arity;
  else if ((is_reference_wrapper_v<std::decay_t<Args>> || ...))
    return CallMisuse::reference;
  else if (!(std::is_convertible_v<Args, P> && ...))
    return CallMisuse::types;
  else
    return (Encodable<P> && ...) ? CallMisuse::none : CallMisuse::unencodable_parameter;
}

template <class F, bool kTakesStopToken, class Parameters>
struct InvokeResult;
template <class F, class... P>
struct InvokeResult<F, false, std::tuple<P...>> : std::invoke_result<F&, P...> {};
template <class F, class... P>
struct InvokeResult<F, true, std::tuple<P...>>
    : std::invoke_result<F&, std::stop_token, P...> {};

/// The decayed result of a call, or why it has none.
template <class Invoked>
constexpr CallMisuse misuse_of_result(CallMisuse if_not_invocable) {
  if constexpr (!requires { typename Invoked::type; })
    return if_not_invocable;
  else {
    using Result = std::decay_t<typename Invoked::type>;
    if (is_pointer_like_v<Result> || is_reference_wrapper_v<Result>)
      return CallMisuse::pointer_result;
    if constexpr (std::is_void_v<Result>)
      return CallMisuse::none;
    else
      return Returnable<Result> ? CallMisuse::none : CallMisuse::unencodable_result;
  }
}

template <class... Ts>
constexpr std::size_t size_of(Types<Ts...>) {
  return sizeof...(Ts);
}

/// A call of a callable that breaks no rule itself.
template <class F, class... Args>
struct CallParts {
  using Shape = CallShape<F, typename Signature<F>::Type, Args...>;
  using Declared = typename Shape::Declared;
  using Parameters = typename StoredParameters<Declared, sizeof...(Args)>::Type;
  static constexpr bool kFillsAll = std::tuple_size_v<Parameters> == size_of(Declared());
  using Invoked = InvokeResult<F, Shape::kTakesStopToken, Parameters>;
};

/// The first rule that a call breaks; later ones often follow from it.
template <class F, class... Args>
constexpr CallMisuse misuse_of_call() {
  if constexpr (misuse_of_callable<F>() != CallMisuse::none) {
    return misuse_of_callable<F>();
  } else {
    using Parts = CallParts<F, Args...>;
    constexpr CallMisuse declared = misuse_of_parameters(typename Parts::Declared());
    constexpr CallMisuse arguments =
        misuse_of_arguments<Args...>(std::type_identity<typename Parts::Parameters>());
    if constexpr (declared != CallMisuse::none)
      return declared;
    else if constexpr (arguments != CallMisuse::none)
      return arguments;
    else
      return misuse_of_result<typename Parts::Invoked>(
          Parts::kFillsAll ? CallMisuse::types : CallMisuse::arity);
  }
}

/// Has the codecs say why the types of a call cannot be encoded.
template <class Parameters, class Result = int>
struct CheckTypes;
template <class... P, class Result>
struct CheckTypes<std::tuple<P...>, Result> {
  static_assert((check_crosses<P>(), ..., true));
  static_assert((check_returns<Result>(), true));
};

/// What CallTraits offers; placeholders where the call breaks a rule, so that the advice
/// is not followed by errors that only follow from it.
template <CallMisuse kMisuse, class F, class... Args>
struct AllowedCall : ObeyRules<kMisuse> {
  using Parameters = std::tuple<>;
  using Result = void;
  static constexpr bool kTakesStopToken = false;
};
template <class F, class... Args>
struct AllowedCall<CallMisuse::none, F, Args...> {
  using Parameters = typename CallParts<F, Args...>::Parameters;
  using Result = std::decay_t<typename CallParts<F, Args...>::Invoked::type>;
  static constexpr bool kTakesStopToken = CallParts<F, Args...>::Shape::kTakesStopToken;
};
template <class F, class... Args>
struct AllowedCall<CallMisuse::unencodable_parameter, F, Args...>
    : AllowedCall<CallMisuse::none, F, Args...>,
      CheckTypes<typename CallParts<F, Args...>::Parameters> {};
template <class F, class... Args>
struct AllowedCall<CallMisuse::unencodable_result, F, Args...>
    : AllowedCall<CallMisuse::none, F, Args...>,
      CheckTypes<std::tuple<>,
                 std::decay_t<typename CallParts<F, Args...>::Invoked::type>> {};

}  // namespace killable::detail
