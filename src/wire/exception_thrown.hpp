#pragma once

#include <exception>
#include <span>
#include <string_view>
#include <typeinfo>

#include <killable/errors.hpp>

/// What can be told of a thrown object, whatever its type. The texts and pointers
/// returned refer into the object, which lives at least as long as `thrown`.
namespace killable::wire {

/// The object's type, seen through what the standard library derives from it in secret:
/// std::throw_with_nested() throws a type derived from its argument's, and the streams
/// throw one derived from std::ios_base::failure.
const std::type_info& thrown_type(const std::exception_ptr& thrown);

/// What is nested in it; null if nothing.
std::exception_ptr nested_in(const std::exception_ptr& thrown);

/// It as a RemoteException, which comes through a worker's own workers; null if not one.
const RemoteException* as_remote(const std::exception_ptr& thrown);

/// The value of a number, formatted into `buffer`, or of a text; empty for all others.
std::string_view value_of(const std::exception_ptr& thrown, std::span<char, 64> buffer);

}  // namespace killable::wire
