#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <killable/detail/image.hpp>

/// Numbers and enumerations: their bytes.
namespace killable::detail {

template <Scalar T>
struct Codec<T> : Crossing<> {
  static constexpr std::size_t kMinSize = kValueSize<T>;

  static void encode(Sink& sink, T value) { sink.write(&value, kValueSize<T>); }

  static T decode(Source& source) {
    if constexpr (IsBool<T>::value) {
      return static_cast<T>(decode_flag(source));
    } else {
      T value{};
      source.read(&value, kValueSize<T>);
      return value;
    }
  }

 private:
  static bool decode_flag(Source& source) {
    const auto byte = Codec<std::uint8_t>::decode(source);
    if (byte > 1) {
      throw CodecError("cannot decode a bool: the byte is " + std::to_string(byte));
    }
    return byte == 1;
  }
};

}  // namespace killable::detail
