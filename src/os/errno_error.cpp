#include "os/errno_error.hpp"

#include <sys/resource.h>

#include <cerrno>

namespace killable::os {

namespace {

/// What is short, where the error's own text does not name it.
std::string limit_of(int error) {
  if (error != EMFILE) return {};
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return " (RLIMIT_NOFILE is " + std::to_string(limit.rlim_cur) + ")";
}

}  // namespace

void throw_errno(int error, const std::string& attempt) {
  throw std::system_error(error, std::generic_category(),
                          "cannot " + attempt + limit_of(error));
}

std::string attempt_of(const std::system_error& error) {
  std::string text = error.what();
  const std::string description = ": " + error.code().message();
  if (text.ends_with(description)) text.resize(text.size() - description.size());
  return text;
}

}  // namespace killable::os
