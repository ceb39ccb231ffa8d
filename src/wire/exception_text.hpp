#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <typeinfo>

#include <killable/detail/bytes.hpp>
#include <killable/detail/exception.hpp>

/// The texts of an exception record, which are of bounded length.
namespace killable::wire {

using detail::Sink;
using detail::Source;

/// How long the parts of one exception in a record may be, in bytes.
struct RecordBounds {
  std::size_t text;
  std::size_t name;
  std::size_t frames;
  std::size_t payload;
};

/// The most that a stack frame's text may take.
inline constexpr std::size_t kMaxFrameBytes = 512;

/// Writes `pieces` as one text. One longer than `bound` is cut, and ends with a mark
/// then.
void write_text(Sink& sink, std::initializer_list<std::string_view> pieces,
                std::size_t bound);

/// Reads a text of at most `bound` bytes, else throws CodecError. Its bytes are anything
/// but NUL, for which '?' stands: what() would end there.
std::string read_text(Source& source, std::size_t bound = detail::kMaxExceptionTextBytes);

/// The type's name as in the source, e.g. "my::Error"; owns memory from malloc(3).
class TypeName {
 public:
  explicit TypeName(const std::type_info& type) noexcept;
  ~TypeName();
  TypeName(const TypeName&) = delete;
  TypeName& operator=(const TypeName&) = delete;

  /// The linker's name where there was no memory for a better one.
  std::string_view text() const noexcept { return demangled_ ? demangled_ : mangled_; }

 private:
  const char* mangled_;
  char* demangled_;
};

}  // namespace killable::wire
