#include "wire/exception_thrown.hpp"

#include <cxxabi.h>

#include <charconv>
#include <ios>
#include <string>

namespace killable::wire {

namespace {

/// `std::_Nested_exception<E>` has the bases E and std::nested_exception, and
/// `std::__ios_failure` has std::ios_base::failure. The names are libstdc++'s.
const std::type_info& unwrapped(const std::type_info& type) {
  const std::string_view name = type.name();
  if (name.starts_with("St17_Nested_exceptionI")) {
    const auto* wrapper = dynamic_cast<const abi::__vmi_class_type_info*>(&type);
    if (wrapper) return *wrapper->__base_info[0].__base_type;
  }
  if (name == "St13__ios_failure") return typeid(std::ios_base::failure);
  return type;
}

template <class Number>
std::string_view number(Number value, std::span<char, 64> buffer) {
  const auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end};
}

std::string_view character(char value, std::span<char, 64> buffer) {
  buffer[0] = value;
  return {buffer.data(), 1};
}

}  // namespace

const std::type_info& thrown_type(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (...) {
    return unwrapped(*abi::__cxa_current_exception_type());
  }
}

std::exception_ptr nested_in(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::nested_exception& outer) {
    return outer.nested_ptr();
  } catch (...) {
    return nullptr;
  }
}

const RemoteException* as_remote(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const RemoteException& remote) {
    return &remote;
  } catch (...) {
    return nullptr;
  }
}

std::string_view value_of(const std::exception_ptr& thrown, std::span<char, 64> buffer) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::string& text) {
    return text;
  } catch (std::string_view text) {
    return text;
  } catch (const char* text) {
    return text ? text : "";
  } catch (bool value) {
    return value ? "true" : "false";
  } catch (char value) {
    return character(value, buffer);
  } catch (signed char value) {
    return number(value, buffer);
  } catch (unsigned char value) {
    return number(value, buffer);
  } catch (short value) {
    return number(value, buffer);
  } catch (unsigned short value) {
    return number(value, buffer);
  } catch (int value) {
    return number(value, buffer);
  } catch (unsigned value) {
    return number(value, buffer);
  } catch (long value) {
    return number(value, buffer);
  } catch (unsigned long value) {
    return number(value, buffer);
  } catch (long long value) {
    return number(value, buffer);
  } catch (unsigned long long value) {
    return number(value, buffer);
  } catch (float value) {
    return number(value, buffer);
  } catch (double value) {
    return number(value, buffer);
  } catch (long double value) {
    return number(value, buffer);
  } catch (...) {
    return {};
  }
}

}  // namespace killable::wire
