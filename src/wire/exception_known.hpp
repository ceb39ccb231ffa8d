#pragma once

#include <exception>
#include <span>
#include <string>
#include <typeinfo>

#include <killable/errors.hpp>

#include "wire/exception_text.hpp"

/// The types that every host can make from a record: those of the standard library and of
/// this library. All of them derive from std::exception.
namespace killable::wire {

/// A type of the closed list.
struct KnownType {
  const std::type_info* type;

  /// The what() of `thrown` if this type catches it, else null.
  const char* (*what)(const std::exception_ptr& thrown);

  /// Writes what the type holds besides its text. Requires: it catches `thrown`.
  void (*encode_fields)(Sink& sink, const std::exception_ptr& thrown,
                        const RecordBounds& bounds);

  /// Makes an exception from its text and what encode_fields() wrote; with `remote`, one
  /// that is that RemoteException, too. Throws: CodecError.
  std::exception_ptr (*decode)(Source& source, const std::string& text,
                               const RemoteException* remote,
                               const std::exception_ptr& nested);
};

/// All of them, each before its bases; a record refers to them by index.
std::span<const KnownType> known_types() noexcept;

/// The one that is `type` itself; null if none is.
const KnownType* find_known(const std::type_info& type) noexcept;

/// The first that catches `thrown`; null if none does.
const KnownType* nearest_known(const std::exception_ptr& thrown);

}  // namespace killable::wire
