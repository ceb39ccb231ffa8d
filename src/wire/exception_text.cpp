#include "wire/exception_text.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include <killable/errors.hpp>

namespace killable::wire {

namespace {
constexpr std::string_view kCutMark = " [cut here: too long]";
}

void write_text(Sink& sink, std::initializer_list<std::string_view> pieces,
                std::size_t bound) {
  std::size_t size = 0;
  for (std::string_view piece : pieces) size += piece.size();
  const bool cut = size > bound;
  std::size_t left = cut ? bound - kCutMark.size() : size;
  sink.put(static_cast<std::uint32_t>(cut ? bound : size));
  for (std::string_view piece : pieces) {
    piece = piece.substr(0, left);
    sink.write(piece.data(), piece.size());
    left -= piece.size();
  }
  if (cut) sink.write(kCutMark.data(), kCutMark.size());
}

std::string read_text(Source& source, std::size_t bound) {
  const auto size = source.get<std::uint32_t>();
  if (size > bound || size > source.remaining())
    throw CodecError("cannot decode an exception: a text of " + std::to_string(size) +
                     " bytes");
  source.charge(size, 1);
  std::string text(size, '\0');
  source.read(text.data(), size);
  std::replace(text.begin(), text.end(), '\0', '?');
  return text;
}

TypeName::TypeName(const std::type_info& type) noexcept
    : mangled_(type.name()),
      demangled_(abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr)) {}

TypeName::~TypeName() { std::free(demangled_); }

}  // namespace killable::wire
