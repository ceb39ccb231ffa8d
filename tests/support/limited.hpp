#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>

#include <killable/errors.hpp>

/// Processes that are short of something.
namespace killable::test {

/// One limit of one process, for as long as this lives.
class Limited {
 public:
  using Resource = decltype(RLIMIT_AS);

  Limited(pid_t process, Resource resource, std::uint64_t value);
  ~Limited();
  Limited(const Limited&) = delete;
  Limited& operator=(const Limited&) = delete;

 private:
  pid_t process_;
  Resource resource_;
  rlimit before_{};
};

/// The limit on descriptors that leaves `process` just so many free numbers below it.
rlim_t limit_for(pid_t process, int free);

/// In bytes.
std::uint64_t address_space_of(pid_t process);

/// Expects a start error that tells errno, the attempt and the call.
void expect_error(const StartError& error, int number);

}  // namespace killable::test
