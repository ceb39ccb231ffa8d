#pragma once

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>

#include <killable/detail/exception.hpp>
#include <killable/errors.hpp>

/// Exceptions taken through a record, as from a worker to its host.
namespace killable::testing {

inline constexpr std::uint64_t kMemoryBudget = std::uint64_t{64} << 20;

/// Writes the record of what `function` throws.
template <class Function>
void record(detail::Sink& sink, const Function& function) {
  try {
    function();
  } catch (...) {
    return detail::encode_current_exception(sink);
  }
  throw std::logic_error("nothing was thrown");
}

/// What arrives in the host when `function` throws in a worker.
template <class Function>
std::exception_ptr cross(const Function& function) {
  detail::HeapSink sink;
  record(sink, function);
  if (sink.size() > detail::kMaxExceptionRecordBytes)
    throw std::logic_error("the record is too long");
  detail::Source source(sink.bytes(), kMemoryBudget);
  std::exception_ptr crossed = detail::decode_exception(source);
  if (source.remaining() != 0) throw std::logic_error("the record was not read whole");
  return crossed;
}

/// Whether it arrived as a stand-in for its type.
inline bool is_remote(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const RemoteException&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// A copy of what `function` throws, caught as E.
template <class E, class Function>
E thrown_by(const Function& function) {
  try {
    function();
  } catch (const E& caught) {
    return caught;
  }
  throw std::logic_error("nothing was thrown");
}

/// The what() of what arrives, caught as E.
template <class E, class Function>
std::string crossed_what(const Function& function) {
  try {
    std::rethrow_exception(cross(function));
  } catch (const E& caught) {
    return caught.what();
  }
}

/// A copy of what arrives, caught as E.
template <class E, class Function>
E crossed_as(const Function& function) {
  return thrown_by<E>([&] { std::rethrow_exception(cross(function)); });
}

}  // namespace killable::testing
