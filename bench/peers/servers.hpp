#pragma once

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <stdexcept>
#include <string>

/// Two processes that serve calls on a Unix socket each.
namespace killable::bench::peers {

inline constexpr int kLarge = (64 << 20) / int{sizeof(double)};

/// To be made before the library that is measured has started any thread.
class Servers {
 public:
  /// `serve(path)` does not return. Blocks until both sockets are there.
  explicit Servers(void (*serve)(const std::string& path)) {
    std::string folder =
        (std::filesystem::temp_directory_path() / "peer-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) throw std::runtime_error("cannot mkdtemp");
    folder_ = folder;
    for (std::size_t i = 0; i < children_.size(); ++i) {
      paths_[i] = folder_ / std::to_string(i);
      children_[i] = ::fork();
      if (children_[i] == 0) run(serve, paths_[i]);
      while (!std::filesystem::exists(paths_[i]))
        if (::waitpid(children_[i], nullptr, WNOHANG) != 0)
          throw std::runtime_error("a server has ended");
    }
  }
  ~Servers() {
    for (const pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }
  Servers(const Servers&) = delete;
  Servers& operator=(const Servers&) = delete;

  std::string path(std::size_t index) const { return paths_[index]; }

 private:
  [[noreturn]] static void run(void (*serve)(const std::string& path),
                               const std::string& path) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    serve(path);
    ::_exit(1);
  }

  std::filesystem::path folder_;
  std::array<std::filesystem::path, 2> paths_;
  std::array<pid_t, 2> children_{};
};

}  // namespace killable::bench::peers
