#include <killable/detail/exception.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "exception_crossing.hpp"

namespace {
thread_local bool out_of_memory = false;
}

void* operator new(std::size_t size) {
  void* memory = out_of_memory ? nullptr : std::malloc(size);
  return memory ? memory : throw std::bad_alloc();
}
// GCC, where it sees through these and not through the above, takes them for mismatched.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace killable {
namespace {

/// Crosses `original`, encoding it while there is no memory.
template <class E>
void expect_text(const E& original, const std::string& text) {
  static std::array<std::byte, detail::kMaxExceptionRecordBytes> memory;
  detail::FixedSink sink(memory);
  try {
    throw original;
  } catch (...) {
    out_of_memory = true;
    detail::encode_current_exception(sink);
    out_of_memory = false;
  }
  detail::Source source(sink.bytes(), testing::kMemoryBudget);
  try {
    std::rethrow_exception(detail::decode_exception(source));
  } catch (const std::exception& caught) {
    EXPECT_EQ(caught.what(), text);
  }
}

TEST(Exceptions, CrossFromAWorkerThatHasNoMemoryLeft) {
  struct Unregistered : std::bad_alloc {};
  expect_text(std::bad_alloc(), "std::bad_alloc");
  expect_text(Unregistered(), "std::bad_alloc");
  const std::runtime_error long_error(std::string(1000, 'x'));
  expect_text(long_error, long_error.what());
  const std::system_error system_error(ENOMEM, std::generic_category(), "x");
  expect_text(system_error, "x: Cannot allocate memory");
  const std::filesystem::filesystem_error file("x", "/a", system_error.code());
  expect_text(file, "filesystem error: x: Cannot allocate memory [/a]");
}

}  // namespace
}  // namespace killable
