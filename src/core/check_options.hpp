#pragma once

#include <string>

#include <killable/options.hpp>

namespace killable::core {

/// Throws std::invalid_argument if one of them is out of range.
void check_options(const Options& options);

/// For a call without a name: another one each time.
std::string default_name();

}  // namespace killable::core
