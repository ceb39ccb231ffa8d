#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <cereal/cereal.hpp>

#include <killable/detail/bytes.hpp>
#include <killable/detail/crossing.hpp>
#include <killable/errors.hpp>

namespace cereal {
/// The base of killable's archives: by it, argument-dependent lookup finds the functions
/// that people define in namespace cereal for types of other libraries.
struct ArchiveOfKillable {};
}  // namespace cereal

/// The archives that a type's cereal functions see. They behave as cereal's do, but what
/// is given to them goes to Codec, so that cereal's own loaders, which believe what they
/// read, and its registries of pointers and polymorphic types cannot be reached from the
/// bytes of a hostile worker. As each side runs the same image, a version is not encoded,
/// and what cereal::defer() puts off is encoded at once.
namespace killable::detail {

class OutputArchive : public cereal::ArchiveOfKillable {
 public:
  using is_loading = std::false_type;
  using is_saving = std::true_type;

  explicit OutputArchive(Sink& sink) : sink_(sink) {}

  template <class... Ts>
  OutputArchive& operator()(Ts&&... values) {
    (save(std::as_const(values)), ...);
    return *this;
  }
  template <class T>
  OutputArchive& operator&(T&& value) {
    return (*this)(value);
  }
  template <class T>
  OutputArchive& operator<<(T&& value) {
    return (*this)(value);
  }

  void serializeDeferments() {}
  void saveBinary(const void* bytes, std::size_t size) { sink_.write(bytes, size); }

 private:
  template <class T>
  void save(const T& value);
  template <class T, std::size_t kCount>
  void save(const T (&array)[kCount]) {
    for (const T& element : array) save(element);
  }
  template <class T>
  void save(const cereal::NameValuePair<T>& pair) {
    save(std::as_const(pair.value));
  }
  template <class T>
  void save(const cereal::DeferredData<T>& data) {
    save(std::as_const(data.value));
  }
  template <class T>
  void save(const cereal::SizeTag<T>& tag) {
    save(static_cast<std::uint64_t>(tag.size));
  }
  template <class T>
  void save(const cereal::BinaryData<T>& data) {
    sink_.write(data.data, data.size);
  }
  template <class T>
  void save(const cereal::base_class<T>& base) {
    save(std::as_const(*base.base_ptr));
  }
  template <class T>
  void save(const cereal::virtual_base_class<T>& base) {
    save(std::as_const(*base.base_ptr));
  }

  Sink& sink_;
};

class InputArchive : public cereal::ArchiveOfKillable {
 public:
  using is_loading = std::true_type;
  using is_saving = std::false_type;

  explicit InputArchive(Source& source) : source_(source) {}

  template <class... Ts>
  InputArchive& operator()(Ts&&... values) {
    (load(values), ...);
    return *this;
  }
  template <class T>
  InputArchive& operator&(T&& value) {
    return (*this)(value);
  }
  template <class T>
  InputArchive& operator>>(T&& value) {
    return (*this)(value);
  }

  void serializeDeferments() {}
  void loadBinary(void* bytes, std::size_t size) { source_.read(bytes, size); }

 private:
  template <class T>
  void load(T& value);
  template <class T, std::size_t kCount>
  void load(T (&array)[kCount]) {
    for (T& element : array) load(element);
  }
  template <class T>
  void load(cereal::NameValuePair<T>& pair) {
    load(pair.value);
  }
  template <class T>
  void load(cereal::DeferredData<T>& data) {
    load(data.value);
  }
  /// The type's own loop takes a byte at least for each of so many elements. What memory
  /// it allocates for them before, beyond a byte each, is not known here.
  template <class T>
  void load(cereal::SizeTag<T>& tag) {
    std::uint64_t size = 0;
    load(size);
    if (size > source_.remaining()) {
      throw CodecError("cannot decode a container of " + std::to_string(size) +
                       " elements from " + std::to_string(source_.remaining()) +
                       " bytes");
    }
    source_.charge(size, 1);
    tag.size = static_cast<std::remove_reference_t<decltype(tag.size)>>(size);
  }
  template <class T>
  void load(cereal::BinaryData<T>& data) {
    source_.read(data.data, data.size);
  }
  template <class T>
  void load(cereal::base_class<T>& base) {
    load(*base.base_ptr);
  }
  template <class T>
  void load(cereal::virtual_base_class<T>& base) {
    load(*base.base_ptr);
  }

  Source& source_;
};

}  // namespace killable::detail

/// cereal's own question, whether a member can be given to an archive.
namespace cereal::traits {
namespace detail {
template <>
struct get_output_from_input<killable::detail::InputArchive> {
  using type = killable::detail::OutputArchive;
};
template <>
struct get_input_from_output<killable::detail::OutputArchive> {
  using type = killable::detail::InputArchive;
};
}  // namespace detail

template <class T>
struct is_output_serializable<T, killable::detail::OutputArchive>
    : std::bool_constant<killable::detail::misuse_in<std::remove_cv_t<T>>() ==
                         killable::detail::Misuse::none> {};
template <class T>
struct is_input_serializable<T, killable::detail::InputArchive>
    : std::bool_constant<killable::detail::misuse_in<std::remove_cv_t<T>>() ==
                         killable::detail::Misuse::none> {};
}  // namespace cereal::traits

namespace killable::detail {

template <class T>
inline constexpr int kCerealSavers =
    cereal::traits::detail::count_output_serializers<T, OutputArchive>::value;
template <class T>
inline constexpr int kCerealLoaders =
    cereal::traits::detail::count_input_serializers<T, InputArchive>::value;

template <class T>
inline constexpr bool kHasCerealFunctions = kCerealSavers<T> + kCerealLoaders<T> != 0;

/// A class whose author wrote cereal functions, right ones or not.
template <class T>
concept HasCereal = std::is_class_v<T> && kHasCerealFunctions<T>;

template <class T>
consteval Misuse misuse_of_cereal() {
  constexpr int savers = kCerealSavers<T>;
  constexpr int loaders = kCerealLoaders<T>;
  if (savers == 0 || loaders == 0) return Misuse::half_of_cereal;
  if (savers > 1 || loaders > 1) return Misuse::cereal_ambiguity;
  return Misuse::none;
}

template <class T>
inline constexpr bool kHasCerealPair = misuse_of_cereal<T>() == Misuse::none;

/// A class with one pair of them, to save and to load.
template <class T>
concept HasCerealPair = HasCereal<T> && kHasCerealPair<T>;

}  // namespace killable::detail
