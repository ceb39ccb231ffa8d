#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <killable/detail/archive.hpp>
#include <killable/detail/shared_memory.hpp>

namespace killable {

/// An array that host and worker both see, in the same memory: what one writes, the other
/// reads, with no copy and at a cost that does not depend on its size.
///
///     void fill(killable::SharedArray<double> samples);
///
///     killable::SharedArray<double> samples(1'000'000);  // zeros
///     killable::KillableThread t(fill, samples);
///     t.start();
///     if (!t.join(2s)) t.kill();
///     use(samples[0]);  // whatever fill() has written by then
///
/// It is a handle. Copies share the memory, which lives as long as any of them in any
/// process, and as long as the handle of a call that it was passed to or returned from.
/// Passed and returned, alone or within other values, it stays the same memory. What a
/// worker has written is there also after that was killed.
///
/// T is a type that is a value whatever its bytes are: numbers but no bool, enumerations,
/// std::complex, and arrays and plain aggregates of them.
///
/// While a worker holds the array its elements can change at any moment, also between two
/// reads of the same one, and a worker may write anything. Copy an element before you
/// check it, and join() the call before you rely on the whole. What both sides touch
/// while the call runs, they touch by std::atomic_ref.
///
/// An array that a worker makes takes whole pages of its call's
/// Options::max_result_bytes, of which a MiB stays free for an exception, and gives them
/// back when it is dropped. The host gets the memory of such arrays back when it holds
/// none of that call's any more.
///
/// Limits: a call takes 64 different arrays. A worker cannot pass on to calls that it
/// starts what it has made or was passed. Exceptions hold none. Each array costs the host
/// a descriptor and a mapping; those that one worker returned share theirs. A worker that
/// is passed an array of another worker's can come at all that this one has returned. One
/// in a static variable is not shared with the host, but among workers.
///
/// Thread-safe as a std::shared_ptr is: different handles may be used at the same time.
template <class T>
class SharedArray {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T> &&
                    detail::AnyBytesImage<T>,
                "the elements of a SharedArray can change at any time, so they are of a "
                "type that is a value whatever its bytes are: numbers but no bool, "
                "enumerations, and arrays and plain aggregates of them");
  static_assert(alignof(T) <= 4096, "the memory of a SharedArray begins at a page");

 public:
  using element_type = T;
  using value_type = T;
  using size_type = std::size_t;
  using iterator = T*;

  /// No elements, and no memory.
  SharedArray() = default;

  /// `count` elements of zero bytes; costs memory as it is touched.
  /// Throws std::length_error beyond PTRDIFF_MAX bytes; in the host std::system_error if
  /// memory or descriptors are short; in a worker LimitExceeded.
  /// See memfd_create(2), Linux 3.17.
  explicit SharedArray(std::size_t count)
      : SharedArray(count == 0 ? nullptr : detail::make_memory(bytes_of(count))) {}

  SharedArray(const SharedArray&) = default;
  SharedArray& operator=(const SharedArray&) = default;
  /// Leaves `other` without elements.
  SharedArray(SharedArray&& other) noexcept { swap(other); }
  SharedArray& operator=(SharedArray&& other) noexcept {
    SharedArray(std::move(other)).swap(*this);
    return *this;
  }
  ~SharedArray() = default;

  void swap(SharedArray& other) noexcept {
    memory_.swap(other.memory_);
    std::swap(elements_, other.elements_);
  }

  // As of std::span, to which it converts: a const handle can be written through.
  T* data() const noexcept { return elements_.data(); }
  std::size_t size() const noexcept { return elements_.size(); }
  std::size_t size_bytes() const noexcept { return elements_.size_bytes(); }
  bool empty() const noexcept { return elements_.empty(); }
  T& operator[](std::size_t index) const { return elements_[index]; }
  T& front() const { return elements_.front(); }
  T& back() const { return elements_.back(); }
  T* begin() const noexcept { return data(); }
  T* end() const noexcept { return data() + size(); }

 private:
  friend struct detail::Codec<SharedArray>;

  explicit SharedArray(detail::MemoryPtr memory) : memory_(std::move(memory)) {
    if (memory_)
      elements_ = {reinterpret_cast<T*>(memory_->bytes.data()),
                   memory_->bytes.size() / sizeof(T)};
  }

  static std::uint64_t bytes_of(std::size_t count) {
    if (count > std::numeric_limits<std::ptrdiff_t>::max() / sizeof(T))
      throw std::length_error("cannot make a SharedArray of " + std::to_string(count) +
                              " elements");
    return std::uint64_t{count} * sizeof(T);
  }

  detail::MemoryPtr memory_;
  std::span<T> elements_;
};

namespace detail {

/// By name: shared_memory.hpp has the bytes.
template <class T>
struct Codec<SharedArray<T>> : Crossing<> {
  static constexpr std::size_t kMinSize = 1;

  static void encode(Sink& sink, const SharedArray<T>& array) {
    encode_memory(sink, array.memory_, array.size());
  }
  static SharedArray<T> decode(Source& source) {
    return SharedArray<T>(decode_memory(source, sizeof(T)));
  }
};

}  // namespace detail

}  // namespace killable
