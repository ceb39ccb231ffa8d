#include "wire/exception_category.hpp"

#include <cstdint>
#include <future>
#include <ios>
#include <map>
#include <mutex>
#include <utility>

#include <killable/errors.hpp>

namespace killable::wire {

namespace {

constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kMaxMessageBytes = 1024;
constexpr std::size_t kMaxForeignCategories = 256;

enum class CategoryKind : std::uint8_t { generic, system, iostream, future, foreign };

CategoryKind kind_of(const std::error_category& category) noexcept {
  if (category == std::generic_category()) return CategoryKind::generic;
  if (category == std::system_category()) return CategoryKind::system;
  if (category == std::iostream_category()) return CategoryKind::iostream;
  if (category == std::future_category()) return CategoryKind::future;
  return CategoryKind::foreign;
}

/// The message, or nothing where the user's category fails to give one.
std::string message_of(const std::error_code& code) {
  try {
    return code.message();
  } catch (...) {
    return {};
  }
}

class ForeignCategory final : public std::error_category {
 public:
  ForeignCategory(std::string name, std::string message)
      : name_(std::move(name)), message_(std::move(message)) {}

  const char* name() const noexcept override { return name_.c_str(); }
  std::string message(int) const override { return message_; }

 private:
  std::string name_;
  std::string message_;
};

class UnknownCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "unknown"; }
  std::string message(int value) const override {
    return "error " + std::to_string(value);
  }
};

/// Makes each category once and keeps it for good.
class ForeignCategories {
 public:
  const std::error_category& get(std::string name, std::string message) {
    const std::lock_guard lock(mutex_);
    const auto key = std::pair(std::move(name), std::move(message));
    if (const auto found = categories_.find(key); found != categories_.end())
      return found->second;
    if (categories_.size() == kMaxForeignCategories) return unknown_;
    return categories_.try_emplace(key, key.first, key.second).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, ForeignCategory> categories_;
  UnknownCategory unknown_;
};

const std::error_category& read_foreign(Source& source) {
  // Outlives every static object: their destructors may still use an error code.
  static auto& categories = *new ForeignCategories;
  std::string name = read_text(source, kMaxNameBytes);
  std::string message = read_text(source, kMaxMessageBytes);
  return categories.get(std::move(name), std::move(message));
}

const std::error_category& read_category(Source& source) {
  switch (source.get<CategoryKind>()) {
    case CategoryKind::generic: return std::generic_category();
    case CategoryKind::system: return std::system_category();
    case CategoryKind::iostream: return std::iostream_category();
    case CategoryKind::future: return std::future_category();
    case CategoryKind::foreign: return read_foreign(source);
  }
  throw CodecError("cannot decode an exception: no such kind of error category");
}

}  // namespace

void write_code(Sink& sink, const std::error_code& code) {
  const CategoryKind kind = kind_of(code.category());
  sink.put(code.value());
  sink.put(kind);
  if (kind != CategoryKind::foreign) return;
  const char* name = code.category().name();
  write_text(sink, {name ? name : ""}, kMaxNameBytes);
  write_text(sink, {message_of(code)}, kMaxMessageBytes);
}

std::error_code read_code(Source& source) {
  const int value = source.get<int>();
  return {value, read_category(source)};
}

}  // namespace killable::wire
