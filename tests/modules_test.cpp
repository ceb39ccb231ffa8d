#include <killable/killable.hpp>

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
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
using ::testing::Not;

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

// --- Functions of libraries that only the worker loads ---

using Question = int(int);

TEST_F(Modules, AFunctionOfALibraryThatOnlyTheWorkerLoadsRuns) {
  const auto answer = library_function<Question>(MODULE_FIRST, "module_answer");
  EXPECT_EQ(call(answer, 4), 42);
  EXPECT_EQ(call({.start_method = StartMethod::spawn}, answer, 4), 42);
  ProcessPool pool({.workers = 1});
  EXPECT_EQ(pool.submit(answer, 4).getResult(), 42);
  // Nothing of it has come here.
  std::ifstream maps("/proc/self/maps");
  const std::string text{std::istreambuf_iterator<char>(maps),
                         std::istreambuf_iterator<char>()};
  EXPECT_THAT(text, Not(HasSubstr(MODULE_FIRST)));
}

TEST_F(Modules, ALibraryThatTheSystemFindsNeedsNoPath) {
  const auto cosine = library_function<double(double)>("libm.so.6", "cos");
  EXPECT_EQ(call(cosine, 0.0), 1.0);
}

TEST_F(Modules, RunLoadsTheLibraryHere) {
  KillableThread thread(library_function<Question>(MODULE_SECOND, "module_answer"), 4);
  thread.run();
  EXPECT_EQ(thread.getResult(), 43);
}

/// What a call of a function that is not there throws.
StartError error_of(const std::string& library, const std::string& symbol) {
  KillableThread thread(library_function<Question>(library, symbol), 4);
  EXPECT_NO_THROW(thread.start());
  try {
    thread.getResult();
  } catch (const StartError& error) {
    return error;
  }
  throw std::logic_error("the call worked");
}

TEST_F(Modules, ALibraryThatIsNotThereIsAStartErrorThatNamesIt) {
  const StartError error = error_of(path("none.so"), "module_answer");
  EXPECT_THAT(error.what(), HasSubstr(path("none.so")));
}

TEST_F(Modules, ASymbolThatIsNotThereIsAStartErrorThatNamesBoth) {
  const StartError error = error_of(MODULE_FIRST, "module_question");
  EXPECT_THAT(error.what(), HasSubstr(MODULE_FIRST));
  EXPECT_THAT(error.what(), HasSubstr("module_question"));
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
