#include "wire/exception_registry.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <mutex>
#include <new>
#include <vector>

namespace killable::wire {

namespace {

using detail::ExceptionType;

class Registry {
 public:
  void add(const ExceptionType& type) {
    const std::lock_guard lock(mutex_);
    types_.push_back(type);
  }

  void remove(const ExceptionType& type) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(
        types_.rbegin(), types_.rend(),
        [&](const ExceptionType& other) { return other.decode == type.decode; });
    if (found != types_.rend()) types_.erase(std::next(found).base());
  }

  std::optional<ExceptionType> find(const std::type_info& type) const {
    const std::lock_guard lock(mutex_);
    for (const ExceptionType& candidate : types_)
      if (*candidate.type == type) return candidate;
    return std::nullopt;
  }

  std::optional<ExceptionType> find(const std::string& name) const {
    const std::lock_guard lock(mutex_);
    std::optional<ExceptionType> found;
    for (const ExceptionType& candidate : types_) {
      if (name != candidate.type->name()) continue;
      if (found && *found->type != *candidate.type) return std::nullopt;
      found = candidate;
    }
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<ExceptionType> types_;
};

Registry& registry() {
  // Never destroyed: a call may end in the destructor of a static object. Not on the
  // heap: a worker that has no memory left asks for it.
  alignas(Registry) static std::byte memory[sizeof(Registry)];
  static Registry& instance = *::new (memory) Registry;
  return instance;
}

}  // namespace

std::optional<ExceptionType> find_registered(const std::type_info& type) {
  return registry().find(type);
}

std::optional<ExceptionType> find_registered(const std::string& name) {
  return registry().find(name);
}

}  // namespace killable::wire

namespace killable::detail {

void register_exception(const ExceptionType& type) { wire::registry().add(type); }

void unregister_exception(const ExceptionType& type) noexcept {
  wire::registry().remove(type);
}

}  // namespace killable::detail
