#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include <killable/runtime.hpp>

#include "core/session.hpp"

namespace killable::core {

/// The process's sessions and its configuration. A session is made at the first need, and
/// again after a loss or a fork(2), or when the others have as many workers as a fork
/// server can look after at full speed. The library's only singleton. Thread-safe.
class Runtime {
 public:
  static Runtime& instance();

  /// A session that is lost just when it is needed is replaced, but not for ever:
  /// something kills them.
  static constexpr int kSessionAttempts = 4;

  /// A session with room for a worker; launches one if there is none. Throws StartError.
  std::shared_ptr<Session> session();
  /// A session of its own for one call, by a fork of this process. Throws StartError.
  std::shared_ptr<Session> forked_session();

  void configure(Config config);
  Config config();

 private:
  Runtime();

  // A child of fork(2) has copies of the session's descriptors, and the guard would not
  // see its host die while such a copy lives. The locks make sure that the copy is whole.
  static void before_fork() noexcept;
  static void after_fork_in_parent() noexcept;
  static void after_fork_in_child() noexcept;

  std::shared_ptr<Session> find_session();
  std::shared_ptr<Session> remember(std::shared_ptr<Session> session);

  std::mutex launch_mutex_;  ///< One launch at a time. Taken before mutex_.
  std::mutex mutex_;
  Config config_;
  std::vector<std::shared_ptr<Session>> serving_;  ///< Take calls: the first with room.
  std::vector<std::weak_ptr<Session>> sessions_;   ///< All that live, lost ones too.
  std::vector<std::shared_ptr<Session>> locked_for_fork_;
};

}  // namespace killable::core
