#pragma once

#include <type_traits>
#include <typeinfo>

#include <killable/detail/archive.hpp>
#include <killable/detail/exception.hpp>
#include <killable/detail/exception_codec.hpp>

/// What crosses to a worker and back, and how to make your own types cross.
///
/// These cross by themselves: numbers, enumerations, std::string, the standard
/// containers, std::optional, variant, pair, tuple, chrono, filesystem::path, complex,
/// bitset, smart pointers that own, and plain aggregates of them:
///
///     struct Point { double x, y; };               // nothing to write
///
/// A class that is no aggregate takes the functions that cereal's documentation
/// describes, as members or beside the class; cereal's own archives are not involved:
///
///     class Account {
///       template <class Archive>
///       void serialize(Archive& archive) { archive(owner_, balance_); }
///       friend class cereal::access;
///       ...
///     };
///
/// std::string_view and std::span<const T> cross as parameters, seen in place, and not as
/// results. Raw pointers and references do not cross: their memory is another process's.
///
/// Exceptions: the standard ones and this library's cross by type, with what() and what
/// else they hold, as does the chain of std::nested_exception. Those of other types
/// arrive as a RemoteException that is also their nearest standard base, unless
/// registered:
namespace killable {

/// Makes exceptions of exactly the type E cross with all their data. One object of it, in
/// namespace scope, in code that both the host and the function belong to:
///
///     struct ParseError : std::runtime_error {
///       explicit ParseError(const std::string& text, int line = 0);
///       int line;
///       template <class Archive>
///       void serialize(Archive& archive) { archive(line); }
///     };
///     inline const killable::RegisterException<ParseError> registered;
///
/// The text of a std::runtime_error or std::logic_error crosses by itself; the rest is
/// the serialize function's. The object in the host is made by a constructor that takes
/// the text, a std::string, or else nothing. A type that has nothing but its text needs
/// no serialize function, and an aggregate neither.
///
/// What fails to encode or decode, or exceeds 128 KiB, arrives as if it were not
/// registered, with the reason in its message. Thread-safe.
template <class E>
struct RegisterException {
  static_assert(std::is_class_v<E> && std::is_copy_constructible_v<E>,
                "an exception type to register is a class that can be copied");

 public:
  RegisterException() { detail::register_exception(type_); }
  /// When its module is unloaded: the type is no longer known to the host then.
  ~RegisterException() { detail::unregister_exception(type_); }
  RegisterException(const RegisterException&) = delete;
  RegisterException& operator=(const RegisterException&) = delete;

 private:
  detail::ExceptionType type_{&typeid(E), detail::encode_thrown<E>,
                              detail::decode_thrown<E>};
};

}  // namespace killable
