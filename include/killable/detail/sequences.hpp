#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <forward_list>
#include <iterator>
#include <list>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include <killable/detail/huge_pages.hpp>
#include <killable/detail/members.hpp>

/// Sequences: a count, then the elements, as images where they have them. Whatever the
/// container, the bytes are the same, so a std::vector can be seen as a std::span.
///
/// The count may be hostile. Each element takes a byte at least, so a count beyond the
/// bytes left is refused, and memory is charged to the Source before it is allocated.
namespace killable::detail {

/// What a node of a list, a tree or a hash table costs beside its element, at most.
inline constexpr std::size_t kNodeSize = 64;

template <class T>
inline constexpr std::size_t kMinElementSize = Codec<T>::kMinSize;
template <Image T>
inline constexpr std::size_t kMinElementSize<T> = sizeof(T);

[[noreturn]] inline void fail_count(std::uint64_t count, std::size_t remaining) {
  throw CodecError("cannot decode a container of " + std::to_string(count) +
                   " elements from " + std::to_string(remaining) + " bytes");
}

inline void encode_count(Sink& sink, std::size_t count) {
  Codec<std::uint64_t>::encode(sink, count);
}

/// The count of elements that follow, with those of a T that cannot be there refused, and
/// the rest charged with `extra` bytes for each.
template <class T>
std::size_t decode_count(Source& source, std::size_t extra = 0) {
  const auto count = Codec<std::uint64_t>::decode(source);
  const std::size_t remaining = source.remaining();
  if (count > remaining / kMinElementSize<T>) fail_count(count, remaining);
  source.charge(count, sizeof(T) + extra);
  return static_cast<std::size_t>(count);
}

/// The images of `count` elements, in place and aligned.
template <Image T>
const std::byte* view_images(Source& source, std::size_t count) {
  source.align(alignof(T));
  if (count > source.remaining() / sizeof(T)) fail_count(count, source.remaining());
  return source.view(count * sizeof(T));
}

/// Takes one image out of memory that may change meanwhile: checks the copy.
template <Image T>
T copy_image(const std::byte* from) {
  std::array<std::byte, sizeof(T)> image;
  std::memcpy(image.data(), from, sizeof(T));
  forbid_reloads();
  if constexpr (!AnyBytesImage<T>) {
    alignas(T) const auto aligned = image;
    check_value(*reinterpret_cast<const T*>(aligned.data()));
  }
  return std::bit_cast<T>(image);
}

inline bool is_aligned(const std::byte* bytes, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(bytes) % alignment == 0;
}

template <class Range>
void encode_images(Sink& sink, const Range& range, std::size_t count) {
  using T = std::ranges::range_value_t<Range>;
  sink.align(alignof(T));
  if constexpr (std::ranges::contiguous_range<Range> && DenseImage<T>) {
    sink.write(std::ranges::data(range), count * sizeof(T));
  } else {
    for (const T& element : range) {
      std::byte* image = sink.extend(sizeof(T));
      if constexpr (!DenseImage<T>) std::memset(image, 0, sizeof(T));
      write_image(image, element);
    }
  }
}

template <class Range>
void encode_sequence(Sink& sink, const Range& range, std::size_t count) {
  using T = std::ranges::range_value_t<Range>;
  encode_count(sink, count);
  if constexpr (Image<T>) {
    encode_images(sink, range, count);
  } else {
    Sink::Nesting nesting(sink);
    for (const T& element : range) Codec<T>::encode(sink, element);
  }
}

/// Decodes `count` elements and gives each to `add`.
template <class T, class Add>
void decode_elements(Source& source, std::size_t count, const Add& add) {
  if constexpr (Image<T>) {
    const std::byte* images = view_images<T>(source, count);
    for (std::size_t i = 0; i != count; ++i) add(copy_image<T>(images + i * sizeof(T)));
  } else {
    Source::Nesting nesting(source);
    for (std::size_t i = 0; i != count; ++i) add(Codec<T>::decode(source));
  }
}

/// The codec of containers that are filled at their end.
template <class C, std::size_t kNode = 0, std::size_t kFixed = 0>
struct SequenceCodec : Crossing<typename C::value_type> {
  using T = typename C::value_type;
  static constexpr std::size_t kMinSize = sizeof(std::uint64_t);

  static void encode(Sink& sink, const C& container) {
    encode_sequence(sink, container, container.size());
  }

  static C decode(Source& source) {
    source.charge(1, kFixed);
    const std::size_t count = decode_count<T>(source, kNode);
    if constexpr (AnyBytesImage<T>) {
      return copy_images(view_images<T>(source, count), count);
    } else {
      return collect(source, count);
    }
  }

 private:
  /// An empty one for `count` elements.
  static C with_room(std::size_t count) {
    C container;
    if constexpr (requires { container.reserve(count); }) container.reserve(count);
    if constexpr (requires { prefer_huge_pages(container.data(), count); })
      prefer_huge_pages(container.data(), count * sizeof(T));
    return container;
  }

  /// One copy, and no zeros written before it.
  static C copy_images(const std::byte* images, std::size_t count) {
    C container = with_room(count);
    if (is_aligned(images, alignof(T))) {
      const T* begin = reinterpret_cast<const T*>(images);
      container.assign(begin, begin + count);
      return container;
    }
    for (std::size_t i = 0; i != count; ++i) {
      container.push_back(copy_image<T>(images + i * sizeof(T)));
    }
    return container;
  }

  static C collect(Source& source, std::size_t count) {
    C container = with_room(count);
    decode_elements<T>(source, count,
                       [&](T&& element) { container.push_back(std::move(element)); });
    return container;
  }
};

template <class T, class A>
struct Codec<std::vector<T, A>> : SequenceCodec<std::vector<T, A>> {};
template <class T, class Traits, class A>
struct Codec<std::basic_string<T, Traits, A>>
    : SequenceCodec<std::basic_string<T, Traits, A>> {};
template <class T, class A>
struct Codec<std::list<T, A>> : SequenceCodec<std::list<T, A>, kNodeSize> {};
// An empty std::deque of libstdc++ has allocated a map of 64 bytes and a block of 512.
template <class T, class A>
struct Codec<std::deque<T, A>> : SequenceCodec<std::deque<T, A>, 0, 64 + 512> {};

template <class T, class A>
struct Codec<std::forward_list<T, A>> : Crossing<T> {
  using List = std::forward_list<T, A>;
  static constexpr std::size_t kMinSize = sizeof(std::uint64_t);

  static void encode(Sink& sink, const List& list) {
    encode_sequence(sink, list,
                    static_cast<std::size_t>(std::distance(list.begin(), list.end())));
  }

  static List decode(Source& source) {
    List list;
    auto last = list.before_begin();
    decode_elements<T>(source, decode_count<T>(source, kNodeSize), [&](T&& element) {
      last = list.insert_after(last, std::move(element));
    });
    return list;
  }
};

}  // namespace killable::detail
