#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <complex>
#include <cstddef>
#include <tuple>
#include <utility>

#include <killable/detail/scalars.hpp>

/// Values that consist of a fixed number of others: these, one after the other.
namespace killable::detail {

/// The codec of a T that is made of `Ts` by braces, which evaluate from left to right.
template <class T, class... Ts>
struct MembersCodec : Crossing<Ts...> {
  static constexpr std::size_t kMinSize =
      std::max<std::size_t>(1, (Codec<std::remove_cv_t<Ts>>::kMinSize + ... + 0));

  static T decode(Source& source) {
    if constexpr (sizeof...(Ts) == 0) {
      decode_nothing(source);
      return T{};
    } else {
      return T{Codec<std::remove_cv_t<Ts>>::decode(source)...};
    }
  }
};

template <class A, class B>
struct Codec<std::pair<A, B>> : MembersCodec<std::pair<A, B>, A, B> {
  static void encode(Sink& sink, const std::pair<A, B>& pair) {
    Codec<std::remove_cv_t<A>>::encode(sink, pair.first);
    Codec<std::remove_cv_t<B>>::encode(sink, pair.second);
  }
};

template <class... Ts>
struct Codec<std::tuple<Ts...>> : MembersCodec<std::tuple<Ts...>, Ts...> {
  static void encode(Sink& sink, const std::tuple<Ts...>& tuple) {
    if constexpr (sizeof...(Ts) == 0) {
      encode_nothing(sink);
    } else {
      std::apply(
          [&](const Ts&... values) {
            (Codec<std::remove_cv_t<Ts>>::encode(sink, values), ...);
          },
          tuple);
    }
  }
};

template <class T>
struct Codec<std::complex<T>> : MembersCodec<std::complex<T>, T, T> {
  static void encode(Sink& sink, const std::complex<T>& number) {
    Codec<T>::encode(sink, number.real());
    Codec<T>::encode(sink, number.imag());
  }
};

template <class T, class MembersOfT>
struct AggregateCodec;

template <class T, class... Ts>
struct AggregateCodec<T, Types<Ts...>> : MembersCodec<T, Ts...> {
  static void encode(Sink& sink, const T& value) {
    if constexpr (sizeof...(Ts) == 0) {
      encode_nothing(sink);
    } else {
      for_each_member(value,
                      [&]<class M>(const M& member) { Codec<M>::encode(sink, member); });
    }
  }
};

template <Aggregate T>
struct Codec<T> : AggregateCodec<T, Members<T>> {};

/// An array is its elements. Those that are bytes only are copied at once.
template <class T, std::size_t kCount>
struct Codec<std::array<T, kCount>> : Crossing<T> {
  using Element = std::remove_cv_t<T>;
  using Array = std::array<T, kCount>;
  static constexpr std::size_t kMinOfElements = kCount * Codec<Element>::kMinSize;
  static constexpr std::size_t kMinSize = std::max<std::size_t>(1, kMinOfElements);

  static void encode(Sink& sink, const Array& array) {
    if constexpr (kCount == 0) {
      encode_nothing(sink);
    } else if constexpr (DenseImage<Element>) {
      sink.write(array.data(), sizeof array);
    } else {
      for (const T& element : array) Codec<Element>::encode(sink, element);
    }
  }

  static Array decode(Source& source) {
    if constexpr (kCount == 0) {
      decode_nothing(source);
      return {};
    } else if constexpr (std::is_default_constructible_v<Element> &&
                         std::is_move_assignable_v<T>) {
      Array array;
      decode_into(source, array);
      return array;
    } else {
      return decode_each(source, std::make_index_sequence<kCount>{});
    }
  }

 private:
  static void decode_into(Source& source, Array& array) {
    if constexpr (DenseImage<Element> && AnyBytesImage<Element>) {
      source.read(array.data(), sizeof array);
    } else {
      for (T& element : array) element = Codec<Element>::decode(source);
    }
  }

  template <std::size_t... kIndex>
  static Array decode_each(Source& source, std::index_sequence<kIndex...>) {
    return {((void)kIndex, Codec<Element>::decode(source))...};
  }
};

}  // namespace killable::detail
