#pragma once

#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <killable/detail/bytes.hpp>

/// How an exception crosses: the worker writes a record of what was thrown, the host
/// makes a new exception of the same type from it. The host trusts no byte of the record:
/// what it may construct is a closed list, the types named in
/// src/wire/exception_known.cpp and those that the host itself registered
/// (RegisterException, in codec.hpp).
namespace killable::detail {

/// No record is longer, whatever was thrown.
inline constexpr std::size_t kMaxExceptionRecordBytes = std::size_t{1} << 20;
/// Longer texts are cut, and end with a mark that says so.
inline constexpr std::size_t kMaxExceptionTextBytes = std::size_t{64} << 10;
/// What a registered type may encode; beyond it only its name and its text cross.
inline constexpr std::size_t kMaxExceptionPayloadBytes = std::size_t{128} << 10;
/// Exceptions in one std::nested_exception chain; what lies deeper is left out.
inline constexpr int kMaxExceptionDepth = 32;

/// Writes a record of the exception being handled, with its chain of nested exceptions.
/// An exception whose data cannot be encoded becomes one that names its type and text.
/// Allocates no memory for what the standard library throws, std::bad_alloc above all.
/// Requires: called in a catch block, but not for abi::__forced_unwind (cancellation),
/// which has to be rethrown; that nothing cancels the thread meanwhile, since within a
/// handler the C++ runtime can't unwind through another `catch (...)`; room for
/// kMaxExceptionRecordBytes in `sink`.
/// Throws: nothing, where there is that room.
void encode_current_exception(Sink& sink);

/// A new exception object from a record. Throws: CodecError if it is not a record.
std::exception_ptr decode_exception(Source& source);

/// A registered exception type. `encode` writes the data of `thrown`, which is known to
/// be caught as the type; `decode` reads it and gives it `text` where its base holds one.
struct ExceptionType {
  const std::type_info* type;
  void (*encode)(Sink& sink, const std::exception_ptr& thrown);
  std::exception_ptr (*decode)(Source& source, const std::string& text,
                               const std::exception_ptr& nested);
};

/// Thread-safe. A type may be registered again, by another module; `type` must live until
/// it is unregistered, and be unregistered before its module is unloaded.
void register_exception(const ExceptionType& type);
void unregister_exception(const ExceptionType& type) noexcept;

/// Sets the what() of an exception whose standard base holds one, by assigning that base.
template <class E>
void set_text(E& exception, const std::string& text) {
  if constexpr (std::is_base_of_v<std::runtime_error, E>)
    static_cast<std::runtime_error&>(exception) = std::runtime_error(text);
  else if constexpr (std::is_base_of_v<std::logic_error, E>)
    static_cast<std::logic_error&>(exception) = std::logic_error(text);
}

/// A std::nested_exception that holds `nested`, which may be null.
std::nested_exception hold_nested(const std::exception_ptr& nested);

/// Throws as std::throw_with_nested() would within a handler of `nested`.
template <class E>
[[noreturn]] void throw_nested(E exception, const std::exception_ptr& nested) {
  if (!nested) throw exception;
  try {
    std::rethrow_exception(nested);
  } catch (...) {
    std::throw_with_nested(std::move(exception));
  }
}

/// A new exception object, a copy of `exception` with `nested` (if any) nested in it.
template <class E>
std::exception_ptr make_exception(E exception, const std::exception_ptr& nested) {
  // A type that is a nested_exception itself took whatever was being handled here.
  if constexpr (std::is_convertible_v<E*, std::nested_exception*>)
    static_cast<std::nested_exception&>(exception) = hold_nested(nested);
  try {
    throw_nested(std::move(exception), nested);
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace killable::detail
