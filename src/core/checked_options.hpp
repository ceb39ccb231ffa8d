#pragma once

#include <killable/options.hpp>

namespace killable::core {

/// `options` with a name, if they have none. Throws std::invalid_argument if one is out
/// of range.
Options checked(Options options);

}  // namespace killable::core
