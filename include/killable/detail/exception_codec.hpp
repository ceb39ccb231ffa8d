#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <killable/detail/archive.hpp>
#include <killable/detail/exception.hpp>

/// How a registered exception type is encoded. Its text crosses beside its data, so what
/// the standard base holds need not be in the type's own cereal functions.
namespace killable::detail {

/// The bytes of a type besides those of std::nested_exception.
template <class E>
inline constexpr std::size_t kOwnSize = sizeof(E) -
                                        (std::is_base_of_v<std::nested_exception, E>
                                             ? sizeof(std::nested_exception)
                                             : 0);

/// Whether a type's base keeps a text for it, to be set by set_text().
template <class E>
concept TextInBase =
    std::is_base_of_v<std::runtime_error, E> || std::is_base_of_v<std::logic_error, E>;

/// Whether a type has no room for anything but its text, or not even for that.
template <class E>
concept TextOnly = (TextInBase<E> && kOwnSize<E> == sizeof(std::runtime_error)) ||
                   (std::is_base_of_v<std::exception, E> &&
                    kOwnSize<E> == sizeof(std::exception)) ||
                   (std::is_base_of_v<std::exception, E> &&
                    std::is_constructible_v<E, const std::string&> &&
                    kOwnSize<E> == sizeof(std::exception) + sizeof(std::string));

template <class E>
concept MadeFromText = std::is_constructible_v<E, const std::string&>;

template <class E>
concept MadeOfItself =
    MadeFromText<E> || cereal::traits::is_default_constructible<E>::value;

/// Whether a type has one pair of cereal functions, which load into an existing object.
template <class E>
concept LoadedByCereal = HasCerealPair<E> && MadeOfItself<E>;

/// Whether a type crosses as any other value does.
template <class E>
concept CrossesWhole = !LoadedByCereal<E> && Returnable<E>;

/// Whether a type crosses by its text, since there is nothing else in it.
template <class E>
concept CrossesAsText =
    !LoadedByCereal<E> && !Returnable<E> && TextOnly<E> && MadeOfItself<E>;

template <class E>
E make_from_text(const std::string& text) {
  if constexpr (MadeFromText<E>) {
    return E(text);
  } else if constexpr (std::is_default_constructible_v<E>) {
    return E();
  } else {
    const std::unique_ptr<E> made(cereal::access::construct<E>());
    return *made;
  }
}

/// Encodes what a type has besides its text.
template <class E>
struct ExceptionCodec {
  static_assert(
      LoadedByCereal<E> || CrossesWhole<E> || CrossesAsText<E>,
      "this exception type cannot cross a process with its data: give it a cereal "
      "serialize function for its members, and a constructor from std::string "
      "(the text) or without arguments");
};

template <LoadedByCereal E>
struct ExceptionCodec<E> {
  static void encode(Sink& sink, const E& exception) {
    OutputArchive archive(sink);
    call_saver(archive, exception);
  }
  static E decode(Source& source, const std::string& text) {
    E exception = make_from_text<E>(text);
    InputArchive archive(source);
    call_loader(archive, exception);
    return exception;
  }
};

template <CrossesWhole E>
struct ExceptionCodec<E> {
  static void encode(Sink& sink, const E& exception) { detail::encode(sink, exception); }
  static E decode(Source& source, const std::string&) {
    return detail::decode<E>(source);
  }
};

template <CrossesAsText E>
struct ExceptionCodec<E> {
  static void encode(Sink&, const E&) {}
  static E decode(Source&, const std::string& text) { return make_from_text<E>(text); }
};

template <class E>
void encode_thrown(Sink& sink, const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const E& exception) {
    ExceptionCodec<E>::encode(sink, exception);
  }
}

template <class E>
std::exception_ptr decode_thrown(Source& source, const std::string& text,
                                 const std::exception_ptr& nested) {
  E exception = ExceptionCodec<E>::decode(source, text);
  // Not where it was cut: the type may have brought it whole.
  if (text.size() < kMaxExceptionTextBytes) set_text(exception, text);
  return make_exception(std::move(exception), nested);
}

}  // namespace killable::detail
