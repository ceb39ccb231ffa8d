#pragma once

#include <array>
#include <bit>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>

#include <killable/detail/aggregate.hpp>

/// Memory images: the wire form of elements whose bytes in memory are their value, so
/// that a sequence of them is copied whole or seen in place. An image is sizeof(T) bytes,
/// with padding zeroed: what lies there in the sender's memory stays there.
namespace killable::detail {

template <class T>
concept Scalar = !std::is_volatile_v<T> && (std::is_arithmetic_v<T> || std::is_enum_v<T>);

inline constexpr bool kX87 = std::numeric_limits<long double>::digits == 64;

/// The bytes of a scalar that hold its value. The x87 long double has 10 in its 16.
template <Scalar T>
inline constexpr std::size_t kValueSize = sizeof(T);
template <>
inline constexpr std::size_t kValueSize<long double> = kX87 ? 10 : sizeof(long double);

template <class T>
struct IsBool : std::is_same<T, bool> {};
template <class T>
requires std::is_enum_v<T>
struct IsBool<T> : std::is_same<std::underlying_type_t<T>, bool> {
};

/// What an image consists of. Members that are no images either end the recursion.
template <class T>
struct ImageParts {
  using Parts = Types<>;
  static constexpr bool kIs = Scalar<T>;
};
template <class T>
struct ImageParts<std::complex<T>> {
  using Parts = Types<T, T>;
  static constexpr bool kIs = true;
};
template <class T, std::size_t kCount>
struct ImageParts<std::array<T, kCount>> {
  using Parts = Types<std::remove_cv_t<T>>;
  static constexpr bool kIs = true;
};
template <Aggregate T>
struct ImageParts<T> {
  using Parts = Members<T>;
  static constexpr bool kIs = std::is_trivially_copyable_v<T>;
};

template <class T>
consteval bool is_image();
template <class T>
consteval bool is_dense();
template <class T>
consteval bool holds_bool();

template <class... Ts>
consteval bool are_images(Types<Ts...>) {
  return (is_image<Ts>() && ...);
}
template <class T, class... Ts>
consteval bool are_dense(Types<Ts...>) {
  return (is_dense<Ts>() && ...) && (sizeof(Ts) + ... + 0) == sizeof(T);
}
template <class... Ts>
consteval bool any_bool(Types<Ts...>) {
  return (holds_bool<Ts>() || ...);
}

/// Whether the value of a T is in its own bytes: no pointers, nothing that is elsewhere.
template <class T>
consteval bool is_image() {
  if constexpr (!ImageParts<T>::kIs) {
    return false;
  } else {
    return are_images(typename ImageParts<T>::Parts{});
  }
}

/// Whether all bytes of an image are value: none is padding.
template <class T>
consteval bool is_dense() {
  if constexpr (!is_image<T>()) {
    return false;
  } else if constexpr (Scalar<T>) {
    return kValueSize<T> == sizeof(T);
  } else if constexpr (IsArray<T>::value) {
    return std::tuple_size_v<T> != 0 && is_dense<typename T::value_type>();
  } else {
    return are_dense<T>(typename ImageParts<T>::Parts{});
  }
}

/// Whether some images of a T are no value: a bool is 0 or 1.
template <class T>
consteval bool holds_bool() {
  return IsBool<T>::value || any_bool(typename ImageParts<T>::Parts{});
}

template <class T>
concept Image = is_image<T>();
template <class T>
concept DenseImage = is_dense<T>();
/// An image that is a value whatever its bytes are.
template <class T>
concept AnyBytesImage = is_image<T>() && !holds_bool<T>();

template <Image T, class Visitor>
void for_each_part(const T& value, const Visitor& visit) {
  if constexpr (IsArray<T>::value) {
    for (const auto& element : value) visit(element);
  } else if constexpr (Aggregate<T>) {
    for_each_member(value, visit);
  } else {
    using Real = typename T::value_type;
    const auto& parts = reinterpret_cast<const Real(&)[2]>(value);  // [complex.numbers]
    visit(parts[0]);
    visit(parts[1]);
  }
}

/// Writes the image of `value` at `to`, where zeros are.
template <Image T>
void write_image(std::byte* to, const T& value) {
  if constexpr (DenseImage<T>) {
    std::memcpy(to, &value, sizeof(T));
  } else if constexpr (Scalar<T>) {
    std::memcpy(to, &value, kValueSize<T>);
  } else {
    const auto* begin = reinterpret_cast<const std::byte*>(&value);
    for_each_part(value, [&](const auto& part) {
      write_image(to + (reinterpret_cast<const std::byte*>(&part) - begin), part);
    });
  }
}

/// Whether the bytes of `image` are a value. Reads no bool as a bool.
template <Image T>
bool is_value(const T& image) {
  if constexpr (AnyBytesImage<T>) {
    return true;
  } else if constexpr (Scalar<T>) {
    std::uint8_t byte;
    std::memcpy(&byte, &image, sizeof byte);
    return byte <= 1;
  } else {
    bool all = true;
    for_each_part(image, [&](const auto& part) { all = all && is_value(part); });
    return all;
  }
}

template <Image T>
void check_value(const T& image) {
  if (!is_value(image)) {
    throw CodecError("cannot decode a bool: the byte is neither 0 nor 1");
  }
}

}  // namespace killable::detail
