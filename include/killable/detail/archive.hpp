#pragma once

#include <string>
#include <type_traits>

#include <killable/detail/aggregate.hpp>
#include <killable/detail/associative.hpp>
#include <killable/detail/bytes.hpp>
#include <killable/detail/cereal_codec.hpp>
#include <killable/detail/crossing.hpp>
#include <killable/detail/sequences.hpp>
#include <killable/detail/views.hpp>
#include <killable/detail/vocabulary.hpp>

/// How values cross from process to process: encode() and decode().
///
/// What can cross: numbers and enumerations, the standard containers and vocabulary
/// types, aggregates of such types, and classes with cereal functions. What cannot, does
/// not compile, and the error says what to do instead.
///
/// Both sides run the same program image on the same machine, so the bytes name no types
/// and numbers are as in memory. The bytes begin at an address aligned to 64:
///
///   number, enum      its bytes (the x87 long double: the 10 that hold its value)
///   bool              u8 0 or 1
///   pair, tuple, complex, array, aggregate
///                     its members in order; if there are none, a u8 0
///   sequence, string, set, view
///                     u64 count, elements
///       elements      of images:  zeros up to a multiple of alignof(T), image*
///                     of others:  element*
///       image         sizeof(T) bytes as in memory, with zeros for padding: numbers,
///                     enums, complex, and arrays and plain aggregates of images
///   map               u64 count, (key value)*
///   stack, queue      the sequence within
///   optional, unique_ptr, shared_ptr
///                     bool, value if true
///   variant           u32 index, value
///   duration, time_point
///                     its count
///   bitset            u8[N / 8 + 1], the first bit lowest
///   path              the string of its native form
///   SharedArray       what shared_memory.hpp says
///   class with cereal functions
///                     what these write, in order; if nothing, a u8 0
///   size_tag          u64
///   binary_data       bytes
///
/// A hostile worker can write anything here. Every value takes at least one byte, so a
/// count larger than the bytes left is refused before any memory is allocated; what is
/// allocated is charged to the Source's budget first; nesting is bounded, and so is the
/// work that colliding keys make; each byte is copied once and only the copy is checked.
/// What comes out is a value of the right type or a CodecError. Views are the exception:
/// they see the bytes in place, so they are only for the worker's own parameters, whose
/// bytes the host wrote.
///
/// Thread-safe: yes, for different sinks and sources.
namespace killable::detail {

/// Whether a T can cross as an argument.
template <class T>
concept Encodable = (misuse_in<T>() == Misuse::none);

/// Whether a T can cross as a result, which owns all that it holds.
template <class T>
concept Returnable = Encodable<T> && !holds_view<T>();

/// Is an error that says what to do, unless a T can cross as an argument.
template <class T>
consteval void check_crosses() {
  explain_in<T>();
}

/// Is an error that says what to do, unless a T can cross as a result.
template <class T>
consteval void check_returns() {
  explain_in<T>();
  static_assert(
      !holds_view<T>(),
      "returns a view of the worker's memory: return std::string or std::vector");
}

/// Appends `value`. Throws LimitExceeded where the Sink may not grow, CodecError for a
/// value nested too deep or a variant without value, and what its cereal functions throw.
template <class T>
void encode(Sink& sink, const T& value) {
  check_crosses<T>();
  if constexpr (Encodable<T>) Codec<T>::encode(sink, value);
}

/// Takes the next value. Throws CodecError, std::bad_alloc, and what its cereal functions
/// throw.
template <class T>
T decode(Source& source) {
  check_crosses<T>();
  if constexpr (Encodable<T>) return Codec<T>::decode(source);
}

/// Throws CodecError if bytes are left over.
inline void expect_end(const Source& source) {
  if (source.remaining() == 0) return;
  throw CodecError("cannot decode: " + std::to_string(source.remaining()) +
                   " bytes are left over");
}

/// Takes the only value of `source`.
template <class T>
T decode_whole(Source& source) {
  check_returns<T>();
  if constexpr (Returnable<T>) {
    T value = Codec<T>::decode(source);
    expect_end(source);
    return value;
  }
}

template <class T>
void OutputArchive::save(const T& value) {
  check_returns<T>();
  if constexpr (Returnable<T>) Codec<T>::encode(sink_, value);
}

template <class T>
void InputArchive::load(T& value) {
  check_returns<T>();
  if constexpr (!Returnable<T>) {
    return;
  } else if constexpr (requires { Codec<T>::load(source_, value); }) {
    Codec<T>::load(source_, value);
  } else {
    value = Codec<T>::decode(source_);
  }
}

}  // namespace killable::detail
