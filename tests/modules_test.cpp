#include <killable/killable.hpp>

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include "module.hpp"
#include "support/fixture.hpp"

namespace killable::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

using Answer = int (*)(int);

class Modules : public NothingIsLeft {};

/// A shared object that this process has loaded while it runs.
class Loaded {
 public:
  explicit Loaded(const std::string& path)
      : handle_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), &::dlclose) {
    if (handle_ == nullptr) throw std::runtime_error(::dlerror());
  }
  Answer answer() const {
    return reinterpret_cast<Answer>(::dlsym(handle_.get(), "module_answer"));
  }

 private:
  std::unique_ptr<void, int (*)(void*)> handle_;
};

/// What prevents a call of `function`, be it at its start or in its worker.
StartError error_of(Answer function) {
  try {
    call(function, 4);
  } catch (const StartError& error) {
    return error;
  }
  throw std::logic_error("the call worked");
}

/// Puts another file in the place of `path`, which may be mapped.
void replace(const std::string& path, const std::string& by) {
  fs::copy_file(by, path + ".new");
  fs::rename(path + ".new", path);
}

TEST_F(Modules, FunctionsOfALinkedSharedLibraryRun) {
  EXPECT_EQ(call(module_answer, 4), 41);
  EXPECT_EQ(call(module_greet, "you"), "hello you");
  EXPECT_EQ(call({.start_method = StartMethod::spawn}, module_answer, 4), 41);
}

TEST_F(Modules, FunctionsOfADlopenedSharedLibraryRun) {
  const Loaded module(MODULE_FIRST);
  EXPECT_EQ(call(module.answer(), 4), 42);
  EXPECT_EQ(call({.start_method = StartMethod::spawn}, module.answer(), 4), 42);
}

TEST_F(Modules, OfTwoThatHaveTheSameSymbolTheRightOneRuns) {
  const Loaded first(MODULE_FIRST);
  const Loaded second(MODULE_SECOND);
  EXPECT_EQ(call(first.answer(), 4), 42);
  EXPECT_EQ(call(second.answer(), 4), 43);
}

TEST_F(Modules, OneLoadedByARelativePathIsFoundFromAnyDirectory) {
  fs::copy_file(MODULE_FIRST, path("plugin.so"));
  const fs::path before = fs::current_path();
  fs::current_path(fs::path(path("plugin.so")).parent_path());
  const Loaded module("./plugin.so");
  fs::current_path(before);
  EXPECT_EQ(call(module.answer(), 4), 42);
}

TEST_F(Modules, OneWhoseFileWasReplacedByAnotherBuildIsAStartErrorThatSaysSo) {
  replace(path("plugin.so"), MODULE_FIRST);
  const Loaded module(path("plugin.so"));
  EXPECT_EQ(call(module.answer(), 4), 42);
  replace(path("plugin.so"), MODULE_SECOND);

  KillableThread thread(module.answer(), 4);
  EXPECT_NO_THROW(thread.start());
  EXPECT_THROW(thread.getResult(), StartError);
  const StartError error = error_of(module.answer());
  EXPECT_EQ(error.code(), std::errc(ESTALE));
  EXPECT_THAT(error.what(), HasSubstr(path("plugin.so")));
  EXPECT_THAT(error.what(), HasSubstr("not the build that the host has loaded"));

  replace(path("plugin.so"), MODULE_FIRST);
  EXPECT_EQ(call(module.answer(), 4), 42);
}

TEST_F(Modules, OneWhoseFileIsGoneIsAStartErrorThatSaysSo) {
  fs::copy_file(MODULE_FIRST, path("plugin.so"));
  const Loaded module(path("plugin.so"));
  fs::remove(path("plugin.so"));
  const StartError error = error_of(module.answer());
  EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  EXPECT_THAT(error.what(), HasSubstr(path("plugin.so")));
  EXPECT_THAT(error.what(), HasSubstr("No such file"));
}

TEST_F(Modules, OneWhoseFileIsNoLibraryAnyMoreIsAStartErrorThatSaysSo) {
  fs::copy_file(MODULE_FIRST, path("plugin.so"));
  const Loaded module(path("plugin.so"));
  signal_file(path("text"), "not a library");
  replace(path("plugin.so"), path("text"));
  const StartError error = error_of(module.answer());
  EXPECT_THAT(error.what(), HasSubstr(path("plugin.so")));
  EXPECT_THAT(error.what(), HasSubstr("cannot be loaded"));
}

TEST_F(Modules, OneWithoutABuildIdIsAStartErrorThatTellsTheRemedy) {
  const Loaded module(MODULE_WITHOUT_BUILD_ID);
  const StartError error = error_of(module.answer());
  EXPECT_THAT(error.what(), HasSubstr(MODULE_WITHOUT_BUILD_ID));
  EXPECT_THAT(error.what(), HasSubstr("-Wl,--build-id"));
}

TEST_F(Modules, AFunctionInGeneratedCodeIsAStartErrorBeforeAnythingStarts) {
  const std::size_t size = 4096;
  void* code = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(code, MAP_FAILED);
  try {
    const KillableThread thread(reinterpret_cast<Answer>(code), 4);
    ADD_FAILURE() << "a worker would jump into nothing";
  } catch (const StartError& error) {
    EXPECT_EQ(error.code(), std::errc::bad_address);
    EXPECT_THAT(error.what(), HasSubstr("no loaded module"));
  }
  ::munmap(code, size);
}

}  // namespace
}  // namespace killable::test
