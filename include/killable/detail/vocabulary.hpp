#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include <killable/detail/sequences.hpp>

/// The standard types that are neither numbers nor containers.
namespace killable::detail {

/// A bool, and if it is true, the value.
template <class T>
struct Codec<std::optional<T>> : Crossing<T> {
  using Value = std::remove_cv_t<T>;
  static constexpr std::size_t kMinSize = 1;

  static void encode(Sink& sink, const std::optional<T>& value) {
    Codec<bool>::encode(sink, value.has_value());
    if (value) Codec<Value>::encode(sink, *value);
  }

  static std::optional<T> decode(Source& source) {
    if (!Codec<bool>::decode(source)) return std::nullopt;
    return std::optional<T>(std::in_place, Codec<Value>::decode(source));
  }
};

/// The index, and the value of the alternative.
template <class... Ts>
struct Codec<std::variant<Ts...>> : Crossing<Ts...> {
  using Variant = std::variant<Ts...>;
  static constexpr std::size_t kMinSize = 1 + sizeof(std::uint32_t);

  static void encode(Sink& sink, const Variant& variant) {
    if (variant.valueless_by_exception()) {
      throw CodecError("cannot encode a std::variant that is valueless by exception");
    }
    Codec<std::uint32_t>::encode(sink, static_cast<std::uint32_t>(variant.index()));
    std::visit([&]<class T>(const T& value) { Codec<T>::encode(sink, value); }, variant);
  }

  static Variant decode(Source& source) {
    const auto index = Codec<std::uint32_t>::decode(source);
    if (index >= sizeof...(Ts)) {
      throw CodecError("cannot decode a std::variant: alternative " +
                       std::to_string(index) + " of " + std::to_string(sizeof...(Ts)));
    }
    static constexpr auto kDecoders = decoders(std::index_sequence_for<Ts...>{});
    return kDecoders[index](source);
  }

 private:
  template <std::size_t kIndex>
  static Variant decode_alternative(Source& source) {
    using T = std::remove_cv_t<std::variant_alternative_t<kIndex, Variant>>;
    return Variant(std::in_place_index<kIndex>, Codec<T>::decode(source));
  }

  template <std::size_t... kIndex>
  static constexpr auto decoders(std::index_sequence<kIndex...>) {
    return std::array{&decode_alternative<kIndex>...};
  }
};

template <class T>
consteval Misuse misuse_of_pointee() {
  if (std::is_polymorphic_v<T> && !std::is_final_v<T>) return Misuse::polymorphic_pointer;
  return Misuse::none;
}

/// A bool, and if it is true, the object. That others share it is not encoded.
template <class Pointer>
struct PointerCodec : Crossing<typename Pointer::element_type> {
  using Object = std::remove_cv_t<typename Pointer::element_type>;
  static constexpr std::size_t kMinSize = 1;

  static void encode(Sink& sink, const Pointer& pointer) {
    Sink::Nesting nesting(sink);
    Codec<bool>::encode(sink, pointer != nullptr);
    if (pointer) Codec<Object>::encode(sink, *pointer);
  }

  static Pointer decode(Source& source) {
    Source::Nesting nesting(source);
    if (!Codec<bool>::decode(source)) return nullptr;
    source.charge(1, sizeof(Object) + kNodeSize);
    return Pointer(new Object(Codec<Object>::decode(source)));
  }
};

template <class T>
struct Codec<std::unique_ptr<T>> : PointerCodec<std::unique_ptr<T>> {
  static constexpr Misuse kMisuse = misuse_of_pointee<T>();
};
template <class T>
struct Codec<std::shared_ptr<T>> : PointerCodec<std::shared_ptr<T>> {
  static constexpr Misuse kMisuse = misuse_of_pointee<T>();
};
template <class T, class Deleter>
struct Codec<std::unique_ptr<T, Deleter>> : Refused<Misuse::special_pointer> {};
template <class T>
struct Codec<std::unique_ptr<T[]>> : Refused<Misuse::special_pointer> {};
template <class T>
struct Codec<std::shared_ptr<T[]>> : Refused<Misuse::special_pointer> {};

template <class Rep, class Period>
struct Codec<std::chrono::duration<Rep, Period>> : Crossing<Rep> {
  using Duration = std::chrono::duration<Rep, Period>;
  static constexpr std::size_t kMinSize = Codec<Rep>::kMinSize;

  static void encode(Sink& sink, const Duration& duration) {
    Codec<Rep>::encode(sink, duration.count());
  }
  static Duration decode(Source& source) { return Duration(Codec<Rep>::decode(source)); }
};

template <class Clock, class Duration>
struct Codec<std::chrono::time_point<Clock, Duration>> : Crossing<Duration> {
  using TimePoint = std::chrono::time_point<Clock, Duration>;
  static constexpr std::size_t kMinSize = Codec<Duration>::kMinSize;

  static void encode(Sink& sink, const TimePoint& time) {
    Codec<Duration>::encode(sink, time.time_since_epoch());
  }
  static TimePoint decode(Source& source) {
    return TimePoint(Codec<Duration>::decode(source));
  }
};

/// Eight bits a byte, the first in the lowest; what is beyond kCount is ignored.
template <std::size_t kCount>
struct Codec<std::bitset<kCount>> : Crossing<> {
  static constexpr std::size_t kMinSize = kCount / 8 + 1;

  static void encode(Sink& sink, const std::bitset<kCount>& bits) {
    std::array<std::uint8_t, kMinSize> bytes{};
    for (std::size_t i = 0; i != kCount; ++i) {
      bytes[i / 8] = static_cast<std::uint8_t>(bytes[i / 8] | (bits[i] << (i % 8)));
    }
    sink.write(bytes.data(), bytes.size());
  }

  static std::bitset<kCount> decode(Source& source) {
    std::array<std::uint8_t, kMinSize> bytes;
    source.read(bytes.data(), bytes.size());
    std::bitset<kCount> bits;
    for (std::size_t i = 0; i != kCount; ++i)
      bits[i] = (bytes[i / 8] >> (i % 8) & 1) != 0;
    return bits;
  }
};

/// The characters of its native form.
template <>
struct Codec<std::filesystem::path> : Crossing<> {
  static constexpr std::size_t kMinSize = sizeof(std::uint64_t);

  static void encode(Sink& sink, const std::filesystem::path& path) {
    Codec<std::string>::encode(sink, path.native());
  }

  static std::filesystem::path decode(Source& source) {
    std::string text = Codec<std::string>::decode(source);
    // libstdc++ keeps a path of its own for each component, of which "a/" is one.
    source.charge(text.size(), sizeof(std::filesystem::path) + kNodeSize);
    return std::filesystem::path(std::move(text));
  }
};

}  // namespace killable::detail
