#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include <boost/pfr/core.hpp>

#include <killable/detail/cereal_archives.hpp>
#include <killable/detail/crossing.hpp>

/// Aggregates taken apart into their members by Boost.PFR, and what PFR cannot take apart
/// recognised beforehand, since within PFR it would be an error without advice.
namespace killable::detail {

template <class T>
struct IsArray : std::false_type {};
template <class T, std::size_t kCount>
struct IsArray<std::array<T, kCount>> : std::true_type {};

/// Converts to anything, in initialisations that are never evaluated. (clang warns of
/// conversions that have no body.)
struct AnyReference {
  template <class U>
  operator U&() const& {
    std::abort();
  }
  template <class U>
  operator U&() const&& {
    std::abort();
  }
};
struct AnyValue {
  template <class U>
  operator U() const {
    std::abort();
  }
};

template <class T, std::size_t>
using Any = std::conditional_t<std::is_copy_constructible_v<T>, AnyReference, AnyValue>;

template <std::size_t kCount>
using Indices = std::make_index_sequence<kCount>;

/// Whether a T can be made of so many initialisers.
template <class T, std::size_t... kIndex>
consteval bool takes(std::index_sequence<kIndex...>) {
  return requires { T{Any<T, kIndex>{}...}; };
}

/// Whether a T can be made of so many initialisers, {}, and so many more.
template <class T, std::size_t... kBefore, std::size_t... kAfter>
consteval bool takes_braces(std::index_sequence<kBefore...>,
                            std::index_sequence<kAfter...>) {
  return requires { T{Any<T, kBefore>{}..., {}, Any<T, kAfter>{}...}; };
}

/// How many initialisers T takes at most, if it takes kFew and not kMany.
template <class T, std::size_t kFew, std::size_t kMany>
consteval std::size_t count_between() {
  constexpr std::size_t kMiddle = kFew + (kMany - kFew) / 2;
  if constexpr (kMiddle == kFew) {
    return kFew;
  } else if constexpr (takes<T>(Indices<kMiddle>{})) {
    return count_between<T, kMiddle, kMany>();
  } else {
    return count_between<T, kFew, kMiddle>();
  }
}

/// The same for a T that may take kCount and not fewer: of members without default.
template <class T, std::size_t kCount>
consteval std::size_t count_down() {
  if constexpr (kCount == 0 || takes<T>(Indices<kCount>{})) {
    return kCount;
  } else {
    return count_down<T, kCount - 1>();
  }
}

inline constexpr std::size_t kMaxMembers = 100;  // of PFR

/// How many members T has, or kMaxMembers + 1 for all that are more. PFR's own count goes
/// through as many initialisers as T has bits: a std::array of 1 MB ends the compiler.
template <class T>
consteval std::size_t count_members() {
  if constexpr (takes<T>(Indices<0>{})) {
    return count_between<T, 0, kMaxMembers + 2>();
  } else {
    return count_down<T, kMaxMembers + 1>();
  }
}

/// The members of `value`, as PFR's tuple of references.
template <class T>
constexpr auto tie_members(T& value) {
  namespace pfr = boost::pfr::detail;
  return pfr::tie_as_tuple(value, pfr::size_t_<count_members<T>()>{});
}

template <class T, std::size_t kIndex>
using Member =
    std::remove_reference_t<decltype(boost::pfr::detail::sequence_tuple::get<kIndex>(
        tie_members(std::declval<T&>())))>;

template <class T, std::size_t... kIndex>
auto members_of(std::index_sequence<kIndex...>)
    -> Types<std::remove_const_t<Member<T, kIndex>>...>;

/// The types of the members of T.
template <class T>
using Members = decltype(members_of<T>(Indices<count_members<T>()>{}));

template <class U, class T>
concept BaseOf = std::is_base_of_v<U, T> && !std::same_as<U, T>;

/// Converts to the bases of T only.
template <class T>
struct AnyBase {
  template <BaseOf<T> U>
  operator U() const;
};
struct Nothing {};

template <class T, class Initialiser>
concept MadeOf = requires {
  T{Initialiser{}};
};

template <class T>
concept HasBase = MadeOf<T, AnyBase<T>> && !MadeOf<T, Nothing>;

/// A C array swallows one initialiser for each of its elements: with {} in its place,
/// fewer fit behind it than without.
template <class T, std::size_t... kIndex>
consteval bool holds_c_array(std::index_sequence<kIndex...>) {
  return (
      (takes_braces<T>(Indices<kIndex>{}, Indices<0>{}) &&
       !takes_braces<T>(Indices<kIndex>{}, Indices<sizeof...(kIndex) - kIndex - 1>{})) ||
      ...);
}

/// PFR shows a reference member as the object it refers to. What a class with one lacks,
/// although all that is shown has it, gives it away.
template <class T, std::size_t... kIndex>
consteval bool holds_reference(std::index_sequence<kIndex...>) {
  return (!std::is_standard_layout_v<T> &&
          (std::is_standard_layout_v<Member<T, kIndex>> && ...)) ||
         (!std::is_move_assignable_v<T> &&
          (std::is_move_assignable_v<Member<T, kIndex>> && ...)) ||
         (std::is_trivially_destructible_v<T> &&
          !(std::is_trivially_destructible_v<Member<T, kIndex>> && ...));
}

template <class T>
consteval Misuse misuse_of_aggregate() {
  if constexpr (HasBase<T>) {
    return Misuse::base_class;
  } else if constexpr (count_members<T>() > kMaxMembers) {
    return Misuse::too_many_members;
  } else if constexpr (holds_c_array<T>(Indices<count_members<T>()>{})) {
    return Misuse::c_array;
  } else if constexpr (holds_reference<T>(Indices<count_members<T>()>{})) {
    return Misuse::reference_member;
  } else {
    return Misuse::none;
  }
}

/// A class that is an aggregate and that its author gave no cereal function.
template <class T>
concept PlainAggregate =
    std::is_class_v<T> && std::is_aggregate_v<T> && !IsArray<T>::value && !HasCereal<T>;

template <class T>
inline constexpr bool kCanBeTakenApart = misuse_of_aggregate<T>() == Misuse::none;

/// One that can be taken apart.
template <class T>
concept Aggregate = PlainAggregate<T> && kCanBeTakenApart<T>;

template <Aggregate T, class Visitor, std::size_t... kIndex>
void for_each_member(const T& value, const Visitor& visit,
                     std::index_sequence<kIndex...>) {
  [[maybe_unused]] const auto members = tie_members(value);
  (visit(boost::pfr::detail::sequence_tuple::get<kIndex>(members)), ...);
}

/// Calls `visit` with each member in turn.
template <Aggregate T, class Visitor>
void for_each_member(const T& value, const Visitor& visit) {
  for_each_member(value, visit, Indices<count_members<T>()>{});
}

/// The codec of a plain aggregate that cannot be taken apart. See members.hpp for others.
template <PlainAggregate T>
struct Codec<T> : Refused<misuse_of_aggregate<T>()> {};

}  // namespace killable::detail
