#pragma once

#include <cstddef>
#include <functional>
#include <type_traits>

#include <killable/detail/bytes.hpp>
#include <killable/errors.hpp>

/// Which types can cross to another process, decided at compile time: for each type there
/// is a Codec, and the Codec of a type that cannot cross says why. The reason is reported
/// for the innermost type to blame, with the way to it in the compiler's own context.
namespace killable::detail {

/// Why a type cannot cross.
enum class Misuse {
  none,
  raw_pointer,
  reference,
  callable,
  union_type,
  base_class,
  c_array,
  reference_member,
  too_many_members,
  special_pointer,
  polymorphic_pointer,
  comparator_state,
  mutable_view,
  view_of_objects,
  half_of_cereal,
  cereal_ambiguity,
  unknown,
};

template <class... Ts>
struct Types {};

/// The codec of a type that cannot cross.
template <Misuse kWhy>
struct Refused {
  static constexpr Misuse kMisuse = kWhy;
  using Parts = Types<>;
};

/// What the codecs of types that can cross have in common. Each adds
///   Parts                          the types that a value may hold
///   kMinSize                       the fewest bytes that a value takes: never 0
///   encode(Sink&, const T&), decode(Source&) -> T
template <class... Ts>
struct Crossing {
  static constexpr Misuse kMisuse = Misuse::none;
  static constexpr bool kView = false;
  using Parts = Types<std::remove_cv_t<Ts>...>;
};

/// What takes no bytes by its type takes one, a zero, so that as many values as there are
/// bytes is a bound on any count.
inline void encode_nothing(Sink& sink) { sink.put(std::byte{0}); }

inline void decode_nothing(Source& source) {
  if (source.get<std::byte>() != std::byte{0})
    throw CodecError("cannot decode an empty value: not zero");
}

template <class T>
concept Callable = requires {
  &T::operator();
};

template <class T>
consteval Misuse misuse_without_codec() {
  if (std::is_union_v<T>) return Misuse::union_type;
  if (Callable<T>) return Misuse::callable;
  return Misuse::unknown;
}

/// How a T is encoded: specialised for whatever can cross, and for what is easily
/// mistaken for it.
template <class T>
struct Codec : Refused<misuse_without_codec<T>()> {};

template <class T>
struct Codec<T&> : Refused<Misuse::reference> {};
template <class T>
struct Codec<T&&> : Refused<Misuse::reference> {};
template <class T>
struct Codec<std::reference_wrapper<T>> : Refused<Misuse::reference> {};
template <class T>
struct Codec<T*> : Refused<Misuse::raw_pointer> {};
template <class T, class C>
struct Codec<T C::*> : Refused<Misuse::raw_pointer> {};
template <>
struct Codec<std::nullptr_t> : Refused<Misuse::raw_pointer> {};
template <class T, std::size_t kCount>
struct Codec<T[kCount]> : Refused<Misuse::c_array> {};
template <class Signature>
struct Codec<std::function<Signature>> : Refused<Misuse::callable> {};

/// The first misuse in T and what it holds. `Path` is what holds T: a type that holds
/// itself, such as a tree, is looked into once.
template <class T, class... Path>
consteval Misuse misuse_in();

template <class... Path, class... Parts>
consteval Misuse misuse_in_parts(Types<Parts...>) {
  Misuse found = Misuse::none;
  // || ends at the first part with a misuse.
  (void)(((found = misuse_in<Parts, Path...>()) != Misuse::none) || ...);
  return found;
}

template <class T, class... Path>
consteval Misuse misuse_in() {
  if constexpr ((std::is_same_v<T, Path> || ...)) {
    return Misuse::none;
  } else if constexpr (Codec<T>::kMisuse != Misuse::none) {
    return Codec<T>::kMisuse;
  } else {
    return misuse_in_parts<T, Path...>(typename Codec<T>::Parts{});
  }
}

/// Whether T is, or holds, a view: memory that it does not own.
template <class T, class... Path>
consteval bool holds_view();

template <class... Path, class... Parts>
consteval bool any_holds_view(Types<Parts...>) {
  return (holds_view<Parts, Path...>() || ...);
}

template <class T, class... Path>
consteval bool holds_view() {
  if constexpr ((std::is_same_v<T, Path> || ...)) {
    return false;
  } else if constexpr (Codec<T>::kMisuse != Misuse::none) {
    return false;
  } else {
    return Codec<T>::kView || any_holds_view<T, Path...>(typename Codec<T>::Parts{});
  }
}

/// Is an error that says what to do about `kWhy`, unless that is none.
template <Misuse kWhy>
consteval void advise() {
  static_assert(kWhy != Misuse::raw_pointer,
                "a raw pointer cannot cross a process: pass the value, std::string, "
                "std::vector or std::span<const T>");
  static_assert(
      kWhy != Misuse::reference,
      "a reference or std::ref cannot cross a process: pass the value, return what "
      "changed");
  static_assert(
      kWhy != Misuse::callable,
      "a callable cannot cross a process as a value: pass the data it works on");
  static_assert(kWhy != Misuse::union_type,
                "a union cannot cross a process: use std::variant");
  static_assert(kWhy != Misuse::base_class,
                "an aggregate with a base class cannot cross by itself: give it a cereal "
                "serialize function");
  static_assert(kWhy != Misuse::c_array,
                "a C array cannot cross a process: use std::array, or give what holds it "
                "a cereal serialize function");
  static_assert(kWhy != Misuse::reference_member,
                "an aggregate with a reference cannot cross a process: hold the value");
  static_assert(
      kWhy != Misuse::too_many_members,
      "an aggregate of more than 100 members, or with a long C array, cannot "
      "cross by itself: use std::array, or give it a cereal serialize function");
  static_assert(kWhy != Misuse::special_pointer,
                "a pointer to an array, or with a deleter of its own, cannot cross a "
                "process: use std::vector or std::unique_ptr<T>");
  static_assert(kWhy != Misuse::polymorphic_pointer,
                "a pointer to a base class would lose the derived object in crossing a "
                "process: use std::variant");
  static_assert(kWhy != Misuse::comparator_state,
                "a container whose comparator or hash has state cannot cross a process: "
                "use one of an empty class");
  static_assert(kWhy != Misuse::mutable_view,
                "a span to write to cannot cross a process: take std::span<const T>, "
                "return std::vector");
  static_assert(kWhy != Misuse::view_of_objects,
                "a std::span can cross a process only over trivially copyable elements "
                "without pointers: take std::vector");
  static_assert(kWhy != Misuse::half_of_cereal,
                "a type needs both halves, save and load, of its cereal functions");
  static_assert(kWhy != Misuse::cereal_ambiguity,
                "a type has more than one cereal function: choose with "
                "cereal::specialize");
  static_assert(kWhy != Misuse::unknown,
                "a type cannot cross a process as it is: give it a cereal serialize "
                "function or make it an aggregate");
}

/// Explains why the T of this context cannot cross.
template <class T>
consteval void explain() {
  advise<Codec<T>::kMisuse>();
}

template <class T, class... Path>
consteval void explain_in();

template <class... Path, class... Parts>
consteval void explain_in_parts(Types<Parts...>) {
  (explain_in<Parts, Path...>(), ...);
}

template <class T, class... Path>
consteval void explain_in() {
  if constexpr (misuse_in<T, Path...>() == Misuse::none) {
    return;
  } else if constexpr (Codec<T>::kMisuse != Misuse::none) {
    explain<T>();
  } else {
    explain_in_parts<T, Path...>(typename Codec<T>::Parts{});
  }
}

}  // namespace killable::detail
