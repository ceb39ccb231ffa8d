#include "core/runtime.hpp"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <killable/errors.hpp>

#include "os/errno_error.hpp"
#include "spawn/image.hpp"
#include "spawn/launch.hpp"

namespace killable {

namespace core {

namespace {

/// Of one session. Beyond that, the copies of the fork server's descriptors and the list
/// of its children begin to count: see docs/scaling.md.
constexpr std::size_t kMostWorkers = 300;

}  // namespace

Runtime& Runtime::instance() {
  // Never destroyed: threads may outlive main, and handles static storage. The guard
  // cleans up when the process ends, however it ends.
  static auto* runtime = new Runtime();
  return *runtime;
}

Runtime::Runtime() {
  ::pthread_atfork(&before_fork, &after_fork_in_parent, &after_fork_in_child);
}

std::shared_ptr<Session> Runtime::session() {
  if (std::shared_ptr<Session> session = find_session()) return session;
  // Not under mutex_, which before_fork() takes: a launch may fork, and takes its time.
  const std::lock_guard launching(launch_mutex_);
  if (std::shared_ptr<Session> session = find_session()) return session;
  const Config config = this->config();
  auto session = std::make_shared<Session>(
      spawn::launch_guard(spawn::choose_image(config.worker_path)), config.spare_workers);
  const std::lock_guard lock(mutex_);
  serving_.push_back(session);
  return remember(std::move(session));
}

/// The first that has room. Empty: there is none. Those that are not needed any more end.
std::shared_ptr<Session> Runtime::find_session() {
  const std::lock_guard lock(mutex_);
  std::erase_if(serving_, [](const auto& session) { return session->is_lost(); });
  const auto found = std::ranges::find_if(
      serving_, [](const auto& each) { return each->workers() < kMostWorkers; });
  if (found == serving_.end()) return nullptr;
  std::shared_ptr<Session> session = *found;
  if (serving_.size() > 1 && session->workers() < kMostWorkers / 2)
    std::erase_if(serving_, [&](const auto& other) {
      return other != session && other->is_unused();
    });
  return session;
}

std::shared_ptr<Session> Runtime::forked_session() {
  // No spares: they would hold the memory.
  auto session = std::make_shared<Session>(spawn::fork_guard(), 0);
  const std::lock_guard lock(mutex_);
  return remember(std::move(session));
}

std::shared_ptr<Session> Runtime::remember(std::shared_ptr<Session> session) {
  std::erase_if(sessions_, [](const auto& known) { return known.expired(); });
  sessions_.push_back(session);
  return session;
}

void Runtime::configure(Config config) {
  if (!config.worker_path.empty() && config.worker_path.front() != '/')
    throw std::invalid_argument("Config::worker_path must be absolute: " +
                                config.worker_path);
  const std::lock_guard lock(mutex_);
  config_ = std::move(config);
}

Config Runtime::config() {
  const std::lock_guard lock(mutex_);
  return config_;
}

void Runtime::before_fork() noexcept {
  Runtime& runtime = instance();
  runtime.mutex_.lock();
  for (const std::weak_ptr<Session>& known : runtime.sessions_)
    if (std::shared_ptr<Session> session = known.lock())
      runtime.locked_for_fork_.push_back(std::move(session));
  for (const auto& session : runtime.locked_for_fork_) session->lock_for_fork();
}

void Runtime::after_fork_in_parent() noexcept {
  Runtime& runtime = instance();
  const std::vector<std::shared_ptr<Session>> locked =
      std::exchange(runtime.locked_for_fork_, {});
  for (const auto& session : locked) session->unlock_after_fork();
  runtime.mutex_.unlock();
}

void Runtime::after_fork_in_child() noexcept {
  Runtime& runtime = instance();
  const std::vector<std::shared_ptr<Session>> locked =
      std::exchange(runtime.locked_for_fork_, {});
  for (const auto& session : locked) {
    session->abandon_in_child();
    session->unlock_after_fork();
  }
  // A thread that was launching does not exist here.
  std::construct_at(&runtime.launch_mutex_);
  // Handles that the child has copies of keep theirs alive; a new call gets a new one.
  runtime.sessions_.clear();
  runtime.serving_.clear();
  runtime.mutex_.unlock();
}

}  // namespace core

void configure(Config config) { core::Runtime::instance().configure(std::move(config)); }

void warm_up() try {
  core::Runtime& runtime = core::Runtime::instance();
  for (int attempt = 0; attempt < core::Runtime::kSessionAttempts; ++attempt) {
    const auto session = runtime.session();
    session->await_spares();
    if (!session->is_lost()) return;
  }
  os::throw_errno(ECONNRESET, "keep a fork server: each was killed at once");
} catch (const StartError&) {
  throw;
} catch (const std::system_error& error) {
  throw StartError(error.code(), "cannot warm up: " + os::attempt_of(error));
}

}  // namespace killable
