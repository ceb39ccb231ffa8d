#include "wire/exception_known.hpp"

#include <algorithm>
#include <any>
#include <array>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include <killable/detail/crossing.hpp>
#include <killable/detail/exception.hpp>

#include "wire/exception_fields.hpp"

namespace killable::wire {

namespace {

/// What an exception of an unknown type arrives as: its nearest known base, with the name
/// and the text that it had. Not final, since std::throw_with_nested() derives from it.
template <class Base>
class Remote : public Base, public RemoteException {
 public:
  Remote(const Base& base, const RemoteException& remote)
      : Base(base), RemoteException(remote) {}
  const char* what() const noexcept override { return message().c_str(); }
};

/// The closed list; each type before its bases.
using Known = detail::Types<
    // This library's.
    TimedOut, Killed, WorkerCrashed, WorkerExited, WorkerLost, QueueFull, LimitExceeded,
    CodecError, ProtocolViolation, StopRequested, Error, StartError,
    // Derived from std::runtime_error.
    std::filesystem::filesystem_error, std::ios_base::failure, std::system_error,
    std::regex_error, std::range_error, std::overflow_error, std::underflow_error,
    std::runtime_error,
    // Derived from std::logic_error.
    std::future_error, std::invalid_argument, std::domain_error, std::length_error,
    std::out_of_range, std::logic_error,
    // Derived from std::exception.
    std::bad_array_new_length, std::bad_alloc, std::bad_any_cast, std::bad_cast,
    std::bad_typeid, std::bad_exception, std::bad_function_call, std::bad_weak_ptr,
    std::bad_optional_access, std::bad_variant_access, std::exception>;

template <class E>
const char* what_as(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const E& caught) {
    const char* text = caught.what();
    return text ? text : "";
  } catch (...) {
    return nullptr;
  }
}

template <class E>
void encode_as(Sink& sink, const std::exception_ptr& thrown, const RecordBounds& bounds) {
  try {
    std::rethrow_exception(thrown);
  } catch (const E& caught) {
    Fields<E>::encode(sink, caught, bounds);
  }
}

template <class E>
std::exception_ptr decode_as(Source& source, const std::string& text,
                             const RemoteException* remote,
                             const std::exception_ptr& nested) {
  E exception = Fields<E>::decode(source, text);
  if (remote) return detail::make_exception(Remote<E>(exception, *remote), nested);
  if (text == exception.what())
    return detail::make_exception(std::move(exception), nested);
  // A text that the type offers no way to set.
  const RemoteException itself(std::string(TypeName(typeid(E)).text()), text);
  return detail::make_exception(Remote<E>(exception, itself), nested);
}

template <class... E>
const auto& table_of(detail::Types<E...>) {
  static const std::array<KnownType, sizeof...(E)> table{
      KnownType{&typeid(E), what_as<E>, encode_as<E>, decode_as<E>}...};
  return table;
}

}  // namespace

std::span<const KnownType> known_types() noexcept { return table_of(Known()); }

const KnownType* find_known(const std::type_info& type) noexcept {
  const auto types = known_types();
  const auto found =
      std::find_if(types.begin(), types.end(),
                   [&](const KnownType& known) { return *known.type == type; });
  return found == types.end() ? nullptr : &*found;
}

const KnownType* nearest_known(const std::exception_ptr& thrown) {
  const auto types = known_types();
  const auto found =
      std::find_if(types.begin(), types.end(),
                   [&](const KnownType& known) { return known.what(thrown) != nullptr; });
  return found == types.end() ? nullptr : &*found;
}

}  // namespace killable::wire
