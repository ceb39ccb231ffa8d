#pragma once

#include <string>
#include <utility>

#include <killable/detail/bytes.hpp>
#include <killable/detail/call_rules.hpp>
#include <killable/detail/function_ref.hpp>

namespace killable {

/// A function of a shared library that only the worker loads, so that this process never
/// runs a line of it, not even its static initialisers. Made by library_function().
template <class R, class... P>
class LibraryFunction {
 public:
  LibraryFunction(std::string path, std::string symbol)
      : path_(std::move(path)), symbol_(std::move(symbol)) {}

  /// Loads the library into the calling process and calls the function: in a worker, or
  /// by KillableThread::run(). Throws StartError if there is no such library or symbol.
  R operator()(P... arguments) const {
    const auto function =
        reinterpret_cast<R (*)(P...)>(detail::load_symbol(path_, symbol_));
    return function(std::forward<P>(arguments)...);
  }

  void encode_to(detail::Sink& sink) const {
    detail::encode_text(sink, path_);
    detail::encode_text(sink, symbol_);
  }

  static LibraryFunction decode_from(detail::Source& source) {
    std::string path = detail::decode_text(source);
    return {std::move(path), detail::decode_text(source)};
  }

 private:
  std::string path_;
  std::string symbol_;
};

namespace detail {

template <class R, class... P>
inline constexpr bool is_portable_callable_v<LibraryFunction<R, P...>> = true;

template <class Signature>
struct LibraryFunctionOf;
template <class R, class... P>
struct LibraryFunctionOf<R(P...)> {
  using Type = LibraryFunction<R, P...>;
};

}  // namespace detail

/// The function `symbol` of the shared library at `path`, as dlopen(3) finds it, for a
/// call:
///
///     auto cosine = killable::library_function<double(double)>("libm.so.6", "cos");
///     double one = killable::call({.timeout = 1s}, cosine, 0.0);
///
/// Nothing checks that the function has this signature. A call throws StartError from
/// getResult() if the worker finds no such library or symbol.
template <class Signature>
auto library_function(std::string path, std::string symbol) {
  return typename detail::LibraryFunctionOf<Signature>::Type(std::move(path),
                                                             std::move(symbol));
}

}  // namespace killable
