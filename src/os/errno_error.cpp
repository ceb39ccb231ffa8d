#include "os/errno_error.hpp"

namespace killable::os {

void throw_errno(int error, const std::string& attempt) {
  throw std::system_error(error, std::generic_category(), "cannot " + attempt);
}

std::string attempt_of(const std::system_error& error) {
  std::string text = error.what();
  const std::string description = ": " + error.code().message();
  if (text.ends_with(description)) text.resize(text.size() - description.size());
  return text;
}

}  // namespace killable::os
