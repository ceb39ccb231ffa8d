#pragma once

#include <optional>
#include <string>
#include <typeinfo>

#include <killable/detail/exception.hpp>

/// The exception types that this process registered. Thread-safe.
namespace killable::wire {

/// The registration of exactly `type`, if there is one.
std::optional<detail::ExceptionType> find_registered(const std::type_info& type);

/// The registration by the linker's name of a type. None if two different types have it,
/// as types in unnamed namespaces of two files may.
std::optional<detail::ExceptionType> find_registered(const std::string& name);

}  // namespace killable::wire
