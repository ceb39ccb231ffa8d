#include "support/limited.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace killable::test {

namespace {

bool has_descriptor(pid_t process, int fd) {
  std::error_code none;
  const std::string link =
      "/proc/" + std::to_string(process) + "/fd/" + std::to_string(fd);
  return std::filesystem::is_symlink(link, none);
}

}  // namespace

Limited::Limited(pid_t process, Resource resource, std::uint64_t value)
    : process_(process), resource_(resource) {
  EXPECT_EQ(::prlimit(process, resource, nullptr, &before_), 0);
  const rlimit limited{.rlim_cur = value, .rlim_max = before_.rlim_max};
  EXPECT_EQ(::prlimit(process, resource, &limited, nullptr), 0);
}

Limited::~Limited() { ::prlimit(process_, resource_, &before_, nullptr); }

rlim_t limit_for(pid_t process, int free) {
  int limit = 0;
  for (; free > 0 || has_descriptor(process, limit); ++limit)
    if (!has_descriptor(process, limit)) --free;
  return static_cast<rlim_t>(limit);
}

std::uint64_t address_space_of(pid_t process) {
  std::ifstream statm("/proc/" + std::to_string(process) + "/statm");
  std::uint64_t pages = 0;
  statm >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void expect_error(const StartError& error, int number) {
  EXPECT_EQ(error.code(), std::error_code(number, std::generic_category()))
      << error.what();
  EXPECT_THAT(error.what(),
              ::testing::HasSubstr(std::generic_category().message(number)));
  EXPECT_THAT(error.what(), ::testing::HasSubstr("cannot "));
}

}  // namespace killable::test
