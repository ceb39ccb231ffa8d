#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <killable/detail/sequences.hpp>

/// Views: encoded as the sequence that they see, decoded in place. They live as long as
/// the memory under the Source, so they are for parameters, not for results.
namespace killable::detail {

template <Image T>
std::span<const T> decode_view(Source& source) {
  const auto count = static_cast<std::size_t>(Codec<std::uint64_t>::decode(source));
  const std::byte* images = view_images<T>(source, count);
  if (!is_aligned(images, alignof(T))) {
    throw CodecError("cannot decode a view: its elements are not aligned in memory");
  }
  const std::span view(reinterpret_cast<const T*>(images), count);
  if constexpr (!AnyBytesImage<T>) {
    for (const T& element : view) check_value(element);
  }
  return view;
}

template <class T, class Traits>
struct Codec<std::basic_string_view<T, Traits>> : Crossing<> {
  using View = std::basic_string_view<T, Traits>;
  static constexpr bool kView = true;
  static constexpr std::size_t kMinSize = sizeof(std::uint64_t);

  static void encode(Sink& sink, View view) { encode_sequence(sink, view, view.size()); }

  static View decode(Source& source) {
    const std::span<const T> view = decode_view<T>(source);
    return {view.data(), view.size()};
  }
};

template <class T, std::size_t kExtent>
struct Codec<std::span<T, kExtent>> : Refused<Misuse::mutable_view> {};
template <class T, std::size_t kExtent>
struct Codec<std::span<const T, kExtent>> : Refused<Misuse::view_of_objects> {};

template <Image T, std::size_t kExtent>
struct Codec<std::span<const T, kExtent>> : Crossing<> {
  using View = std::span<const T, kExtent>;
  static constexpr bool kView = true;
  static constexpr std::size_t kMinSize = sizeof(std::uint64_t);

  static void encode(Sink& sink, View view) { encode_sequence(sink, view, view.size()); }

  static View decode(Source& source) {
    const std::span<const T> view = decode_view<T>(source);
    if (kExtent != std::dynamic_extent && view.size() != kExtent) {
      throw CodecError("cannot decode a span of " + std::to_string(kExtent) +
                       " elements: there are " + std::to_string(view.size()));
    }
    return View(view.data(), view.size());
  }
};

}  // namespace killable::detail
