#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>

/// The two ends of an encoding: a Sink that grows, and a Source that never reads past its
/// end. Both are plain memory; neither knows what a value is (archive.hpp does).
namespace killable::detail {

class Attachments;

/// Keeps the compiler from loading once more what was just copied out of memory that a
/// hostile worker may change meanwhile: the copy is what is checked and used.
inline void forbid_reloads() noexcept { __asm__ volatile("" ::: "memory"); }

/// What is its own bytes, whichever they are: all integers and enumerations but bool.
template <class T>
concept RawNumber = (std::integral<T> && !std::same_as<T, bool>) || std::is_enum_v<T>;

/// What bounds the nesting of a value, at either end, so that neither a cycle of pointers
/// nor a hostile worker can overflow the stack.
class Nested {
 public:
  static constexpr int kMaxDepth = 128;

  /// One level, for as long as it lives. Throws CodecError below the deepest.
  class Nesting {
   public:
    explicit Nesting(Nested& end) : end_(end) {
      if (end_.depth_ == kMaxDepth) fail_depth();
      ++end_.depth_;
    }
    ~Nesting() { --end_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Nested& end_;
  };

 protected:
  ~Nested() = default;

 private:
  [[noreturn]] static void fail_depth();

  int depth_ = 0;
};

/// Growing output in one contiguous block. Throws LimitExceeded where it may not grow.
class Sink : public Nested {
 public:
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  void write(const void* bytes, std::size_t size) {
    // memcpy(3) may not be given a null pointer, which an empty vector's data() is.
    if (size != 0) std::memcpy(extend(size), bytes, size);
  }

  /// Writes the bytes of `number`.
  template <RawNumber T>
  void put(T number) {
    write(&number, sizeof number);
  }

  /// Pads with zeros until size() is a multiple of `alignment`, a power of two.
  void align(std::size_t alignment) {
    const std::size_t padding = -size_ & (alignment - 1);
    if (padding != 0) std::memset(extend(padding), 0, padding);
  }

  /// Adds `size` bytes, not yet written, and returns where they begin.
  std::byte* extend(std::size_t size) {
    if (size > capacity_ - size_) grow(size);
    std::byte* begin = data_ + size_;
    size_ += size;
    return begin;
  }

  /// Forgets what was written.
  void clear() noexcept { size_ = 0; }

  std::size_t size() const noexcept { return size_; }
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

  /// Where SharedArrays are noted beside the bytes; null: they cannot be encoded here.
  Attachments* attachments() const noexcept { return attachments_; }
  void set_attachments(Attachments& attachments) noexcept { attachments_ = &attachments; }

 protected:
  Sink(std::byte* data, std::size_t capacity) : data_(data), capacity_(capacity) {}
  ~Sink() = default;

  /// Makes room for at least `more` bytes after size(), or throws.
  virtual void grow(std::size_t more) = 0;

  std::byte* data_;
  std::size_t size_ = 0;
  std::size_t capacity_;

 private:
  Attachments* attachments_ = nullptr;
};

/// A Sink in the heap.
class HeapSink final : public Sink {
 public:
  HeapSink() : Sink(nullptr, 0) {}

 private:
  struct Delete {
    void operator()(std::byte* block) const { ::operator delete(block, alignment); }
    std::align_val_t alignment;
  };

  void grow(std::size_t more) override;
  std::unique_ptr<std::byte, Delete> block_;
};

/// A Sink over memory of a fixed size, such as a slot.
class FixedSink final : public Sink {
 public:
  explicit FixedSink(std::span<std::byte> memory) : Sink(memory.data(), memory.size()) {}

 private:
  void grow(std::size_t more) override;
};

/// Bytes to decode, with budgets, since they may come from a hostile worker. They may
/// even change while they are read: each byte is loaded once, into private memory, and
/// only that copy is checked and used. Throws CodecError for whatever does not fit.
class Source : public Nested {
 public:
  /// `memory_budget` bounds the memory, in bytes, that decoding may allocate.
  Source(std::span<const std::byte> bytes, std::uint64_t memory_budget)
      : bytes_(bytes),
        memory_budget_(memory_budget),
        probe_budget_(kFreeProbes + kProbesPerByte * bytes.size()) {}

  void read(void* to, std::size_t size) {
    if (size != 0) std::memcpy(to, view(size), size);
    forbid_reloads();
  }

  /// The number whose bytes are next.
  template <RawNumber T>
  T get() {
    T number;
    read(&number, sizeof number);
    return number;
  }

  /// The next `size` bytes in place; they live as long as the memory under the Source.
  const std::byte* view(std::size_t size) {
    if (size > remaining()) fail_short(size);
    const std::byte* begin = bytes_.data() + position_;
    position_ += size;
    return begin;
  }

  /// Skips to the next multiple of `alignment`, a power of two, from the beginning.
  void align(std::size_t alignment) { view(-position_ & (alignment - 1)); }

  std::size_t remaining() const noexcept { return bytes_.size() - position_; }

  /// Where the memory of SharedArrays is found; null: they cannot be decoded here.
  const Attachments* attachments() const noexcept { return attachments_; }
  void set_attachments(const Attachments& attachments) noexcept {
    attachments_ = &attachments;
  }

  /// Accounts for memory about to be allocated for `count` objects of `size` bytes.
  void charge(std::uint64_t count, std::uint64_t size) {
    if (size != 0 && count > memory_budget_ / size) fail_budget(count, size);
    memory_budget_ -= count * size;
  }

  /// Accounts for keys of a hash table passed over in search of another. Keys chosen to
  /// collide, 800 KB of them, would keep the host busy for half a minute.
  void charge_probes(std::uint64_t count) {
    if (count > probe_budget_) fail_probes();
    probe_budget_ -= count;
  }

 private:
  [[noreturn]] void fail_short(std::size_t size) const;
  [[noreturn]] void fail_budget(std::uint64_t count, std::uint64_t size) const;
  [[noreturn]] static void fail_probes();

  // A good hash takes about one probe for each key, of a byte at least. For a bad one in
  // good faith there is a tenth of a second more: 5,000 keys that all collide.
  static constexpr std::uint64_t kProbesPerByte = 4;
  static constexpr std::uint64_t kFreeProbes = std::uint64_t{1} << 24;

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
  std::uint64_t memory_budget_;
  std::uint64_t probe_budget_;
  const Attachments* attachments_ = nullptr;
};

}  // namespace killable::detail
