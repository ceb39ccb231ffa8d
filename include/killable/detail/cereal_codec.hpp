#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <cereal/details/util.hpp>

#include <killable/detail/cereal_archives.hpp>

/// Types with cereal functions: the one that the author wrote is called.
namespace killable::detail {

using CerealFunction = cereal::specialization;

/// Whether a function of this shape may be the one: the only one, or
/// cereal::specialize's.
template <class T, class Archive, CerealFunction kShape>
concept MayCall =
    !cereal::traits::is_specialized<T, Archive>::value ||
    !std::is_base_of_v<std::false_type, cereal::specialize<Archive, T, kShape>>;

/// Calls the function that saves a T, in whatever shape: of the class or outside it, and,
/// where there is none without, with a version.
template <class T, class... Version>
void call_saver(OutputArchive& archive, const T& value, Version... version) {
  using cereal::access;
  using A = OutputArchive;
  T& object = const_cast<T&>(value);  // serialize() has one signature for both ways
  if constexpr (MayCall<T, A, CerealFunction::member_serialize> &&
                requires { access::member_serialize(archive, object, version...); }) {
    access::member_serialize(archive, object, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::member_load_save> &&
                       requires { access::member_save(archive, value, version...); }) {
    access::member_save(archive, value, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::member_load_save_minimal> &&
                       requires {
                         access::member_save_minimal(archive, value, version...);
                       }) {
    archive(access::member_save_minimal(archive, value, version...));
  } else if constexpr (MayCall<T, A, CerealFunction::non_member_serialize> &&
                       requires { serialize(archive, object, version...); }) {
    serialize(archive, object, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::non_member_load_save> &&
                       requires { save(archive, value, version...); }) {
    save(archive, value, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::non_member_load_save_minimal> &&
                       requires { save_minimal(archive, value, version...); }) {
    archive(save_minimal(archive, value, version...));
  } else {
    call_saver(archive, value, std::uint32_t{cereal::detail::Version<T>::version});
  }
}

/// What a save_minimal() returned, decoded.
template <class Minimal>
std::remove_cvref_t<Minimal> load_minimal_value(InputArchive& archive) {
  std::remove_cvref_t<Minimal> value{};
  archive(value);
  return value;
}

/// The inverse of call_saver.
template <class T, class... Version>
void call_loader(InputArchive& archive, T& object, Version... version) {
  using cereal::access;
  using A = InputArchive;
  using Out = const OutputArchive&;
  using In = const T&;
  if constexpr (MayCall<T, A, CerealFunction::member_serialize> &&
                requires { access::member_serialize(archive, object, version...); }) {
    access::member_serialize(archive, object, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::member_load_save> &&
                       requires { access::member_load(archive, object, version...); }) {
    access::member_load(archive, object, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::member_load_save_minimal> &&
                       requires {
                         access::member_save_minimal(std::declval<Out>(),
                                                     std::declval<In>(), version...);
                       }) {
    using Minimal = decltype(access::member_save_minimal(std::declval<Out>(),
                                                         std::declval<In>(), version...));
    const auto value = load_minimal_value<Minimal>(archive);
    access::member_load_minimal(archive, object, value, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::non_member_serialize> &&
                       requires { serialize(archive, object, version...); }) {
    serialize(archive, object, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::non_member_load_save> &&
                       requires { load(archive, object, version...); }) {
    load(archive, object, version...);
  } else if constexpr (MayCall<T, A, CerealFunction::non_member_load_save_minimal> &&
                       requires(Out out, In in) { save_minimal(out, in, version...); }) {
    using Minimal =
        decltype(save_minimal(std::declval<Out>(), std::declval<In>(), version...));
    const auto value = load_minimal_value<Minimal>(archive);
    load_minimal(archive, object, value, version...);
  } else {
    call_loader(archive, object, std::uint32_t{cereal::detail::Version<T>::version});
  }
}

[[noreturn]] inline void fail_in_cereal(const std::type_info& type,
                                        const cereal::Exception& error) {
  throw CodecError("cannot encode or decode a " + cereal::util::demangle(type.name()) +
                   ": " + error.what());
}

template <HasCereal T>
struct Codec<T> : Refused<misuse_of_cereal<T>()> {};

template <HasCerealPair T>
struct Codec<T> : Crossing<> {
  static constexpr std::size_t kMinSize = 1;

  static void encode(Sink& sink, const T& value) {
    Sink::Nesting nesting(sink);
    const std::size_t begin = sink.size();
    OutputArchive archive(sink);
    try {
      call_saver(archive, value);
    } catch (const cereal::Exception& error) {
      fail_in_cereal(typeid(T), error);
    }
    if (sink.size() == begin) encode_nothing(sink);
  }

  static T decode(Source& source) {
    if constexpr (std::is_default_constructible_v<T>) {
      T object = T();
      load(source, object);
      return object;
    } else {  // the default constructor is private, cereal::access a friend
      const std::unique_ptr<T> object(cereal::access::construct<T>());
      load(source, *object);
      return std::move(*object);
    }
  }

  /// Decodes into an object that is there.
  static void load(Source& source, T& object) {
    Source::Nesting nesting(source);
    const std::size_t before = source.remaining();
    InputArchive archive(source);
    try {
      call_loader(archive, object);
    } catch (const cereal::Exception& error) {
      fail_in_cereal(typeid(T), error);
    }
    if (source.remaining() == before) decode_nothing(source);
  }
};

}  // namespace killable::detail
