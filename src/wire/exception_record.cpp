#include <killable/detail/exception.hpp>

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <killable/errors.hpp>

#include "wire/exception_known.hpp"
#include "wire/exception_registry.hpp"
#include "wire/exception_text.hpp"
#include "wire/exception_thrown.hpp"

/// The record of an exception. All numbers are the machine's own: host and worker are one
/// program, or at least one build of this library.
///
///   record     = thrown+ 0:u8                        the innermost exception first
///   thrown     = exact | remote | registered
///   exact      = 1:u8 message:text base:u8 fields    an object of the known type `base`
///   remote     = 2:u8 message:text origin base:u8 fields
///   registered = 3:u8 message:text origin key:text payload:text base:u8 fields
///   origin     = type_name:text count:u32 frame:text*count
///   text       = size:u32 byte*size
///
/// `base` is an index into known_types() and `fields` what that type has besides its
/// text; `key` is the linker's name of the type and `payload` its encoding. A host that
/// cannot decode a registered type makes of it what it would make of a remote one. A text
/// has a bound by what it is for; a hostile worker gains nothing by a longer one.
namespace killable::wire {

namespace {

enum class Form : std::uint8_t { end, exact, remote, registered };

constexpr std::size_t kMaxFrames = 64;
constexpr std::size_t kMaxOriginBytes = std::size_t{8} << 10;
/// What decoding a registered type may allocate.
constexpr std::uint64_t kPayloadMemoryBudget = std::uint64_t{16} << 20;

constexpr RecordBounds kWide{.text = detail::kMaxExceptionTextBytes,
                             .name = kMaxOriginBytes,
                             .frames = kMaxFrames,
                             .payload = detail::kMaxExceptionPayloadBytes};
constexpr RecordBounds kNarrow{.text = 1024, .name = 1024, .frames = 0, .payload = 0};

/// More than an exception takes: two texts, two paths, type name, key, an error category.
constexpr std::size_t most_bytes(const RecordBounds& bounds) {
  return 2 * bounds.text + 4 * bounds.name + bounds.frames * (kMaxFrameBytes + 4) +
         bounds.payload + 2048;
}

/// Narrow for what is nested deep where it would leave too little room for the rest: the
/// outermost exception, which is the one that is caught, is always wide.
const RecordBounds& bounds_for(std::size_t room, std::size_t outer_exceptions) {
  if (outer_exceptions == 0) return kWide;
  const std::size_t rest =
      most_bytes(kWide) + (outer_exceptions - 1) * most_bytes(kNarrow);
  return room >= most_bytes(kWide) + rest ? kWide : kNarrow;
}
static_assert(most_bytes(kWide) + detail::kMaxExceptionDepth * most_bytes(kNarrow) + 1 <=
              detail::kMaxExceptionRecordBytes);

// --- In the worker ---------------------------------------------------------------------

/// A registered type's encoding, or why there is none. The reason's memory is its own, so
/// that it can be told when there is no other.
struct Payload {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t size = 0;
  bool whole = false;
  std::array<char, 256> problem{};

  void fail(std::string_view why) noexcept {
    why.copy(problem.data(), problem.size() - 1);
  }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.get()), size};
  }
};

Payload encode_payload(const detail::ExceptionType& type,
                       const std::exception_ptr& thrown, std::size_t bound) {
  Payload payload;
  try {
    payload.bytes = std::make_unique_for_overwrite<std::byte[]>(bound);
    detail::FixedSink sink({payload.bytes.get(), bound});
    type.encode(sink, thrown);
    payload.size = sink.size();
    payload.whole = true;
  } catch (const std::exception& problem) {
    payload.fail(problem.what());
  } catch (...) {
    payload.fail("its encoding failed");
  }
  return payload;
}

std::uint8_t index_of(const KnownType& known) {
  return static_cast<std::uint8_t>(&known - known_types().data());
}

/// One thrown object, and what is written of it. Refers into the object.
class ThrownWriter {
 public:
  ThrownWriter(Sink& sink, const std::exception_ptr& thrown, const RecordBounds& bounds)
      : sink_(sink), thrown_(thrown), bounds_(bounds) {}

  void write() {
    if (const auto registered = find_registered(type_))
      return write_registered(*registered);
    if (exact_) return write_exact(*exact_);
    write_form(Form::remote, {});
    write_origin();
    write_base();
  }

 private:
  void write_registered(const detail::ExceptionType& type) {
    const Payload payload = encode_payload(type, thrown_, bounds_.payload);
    if (payload.whole) {
      write_form(Form::registered, {});
      write_origin();
      write_text(sink_, {type.type->name()}, bounds_.name);
      write_text(sink_, {payload.text()}, bounds_.payload);
    } else {
      write_form(Form::remote, payload.problem.data());
      write_origin();
    }
    write_base();
  }

  void write_exact(const KnownType& known) {
    sink_.put(Form::exact);
    write_text(sink_, {known.what(thrown_)}, bounds_.text);
    write_fields(known);
  }

  /// `problem`: why the data of a registered type does not cross; empty if it does.
  void write_form(Form form, std::string_view problem) {
    sink_.put(form);
    if (problem.empty()) return write_text(sink_, {message()}, bounds_.text);
    write_text(sink_, {message(), " (its data did not cross: ", problem, ")"},
               bounds_.text);
  }

  void write_origin() {
    const std::size_t frames =
        remote_ ? std::min(remote_->backtrace().size(), bounds_.frames) : 0;
    if (remote_)
      write_text(sink_, {remote_->type_name()}, bounds_.name);
    else
      write_text(sink_, {TypeName(type_).text()}, bounds_.name);
    sink_.put(static_cast<std::uint32_t>(frames));
    for (std::size_t i = 0; i < frames; ++i)
      write_text(sink_, {remote_->backtrace()[i]}, kMaxFrameBytes);
  }

  void write_base() {
    if (base_) return write_fields(*base_);
    sink_.put(index_of(*find_known(typeid(Error))));  // has no fields
  }

  void write_fields(const KnownType& known) {
    sink_.put(index_of(known));
    known.encode_fields(sink_, thrown_, bounds_);
  }

  std::string_view message() {
    if (remote_) return remote_->message();
    return base_ ? base_->what(thrown_) : value_of(thrown_, value_);
  }

  Sink& sink_;
  const std::exception_ptr& thrown_;
  const RecordBounds& bounds_;
  const std::type_info& type_ = thrown_type(thrown_);
  const KnownType* exact_ = find_known(type_);
  const RemoteException* remote_ = as_remote(thrown_);
  const KnownType* base_ = exact_ ? exact_ : nearest_known(thrown_);  ///< May be null.
  std::array<char, 64> value_;
};

/// In place of what cannot be described.
void write_note(Sink& sink, std::string_view message) {
  sink.put(Form::remote);
  write_text(sink, {message}, kNarrow.text);
  write_text(sink, {"unknown"}, kNarrow.name);
  sink.put(std::uint32_t{0});
  sink.put(index_of(*find_known(typeid(Error))));
}

// --- In the host -----------------------------------------------------------------------

[[noreturn]] void fail(const std::string& why) {
  throw CodecError("cannot decode an exception: " + why);
}

std::vector<std::string> read_backtrace(Source& source) {
  const auto count = source.get<std::uint32_t>();
  if (count > kMaxFrames) fail("a backtrace of " + std::to_string(count) + " frames");
  std::vector<std::string> frames;
  for (std::uint32_t i = 0; i < count; ++i)
    frames.push_back(read_text(source, kMaxFrameBytes));
  return frames;
}

/// Copies the payload, so that it cannot change any more while it is decoded.
std::vector<std::byte> read_payload(Source& source) {
  const auto size = source.get<std::uint32_t>();
  if (size > detail::kMaxExceptionPayloadBytes || size > source.remaining())
    fail("data of " + std::to_string(size) + " bytes");
  source.charge(size, 1);
  std::vector<std::byte> payload(size);
  source.read(payload.data(), size);
  return payload;
}

std::exception_ptr decode_payload(const std::string& key,
                                  std::span<const std::byte> payload,
                                  const std::string& message,
                                  const std::exception_ptr& nested) {
  const auto type = find_registered(key);
  if (!type) throw CodecError("the type is not registered here");
  Source source(payload, kPayloadMemoryBudget);
  const std::exception_ptr exception = type->decode(source, message, nested);
  if (source.remaining() != 0) throw CodecError("more data than the type has");
  return exception;
}

/// The registered exception; if it fails, null and `message` is told why.
std::exception_ptr try_registered(Source& source, std::string& message,
                                  const std::exception_ptr& nested) {
  const std::string key = read_text(source, kMaxOriginBytes);
  const std::vector<std::byte> payload = read_payload(source);
  std::string problem = "its decoding failed";
  try {
    return decode_payload(key, payload, message, nested);
  } catch (const abi::__forced_unwind&) {
    throw;
  } catch (const std::exception& caught) {
    problem = caught.what();
  } catch (...) {
  }
  message += " (its data did not cross: " + problem + ")";
  return nullptr;
}

const KnownType& read_base(Source& source) {
  const auto index = source.get<std::uint8_t>();
  if (index >= known_types().size()) fail("no such type");
  return known_types()[index];
}

std::exception_ptr decode_thrown(Source& source, Form form,
                                 const std::exception_ptr& nested) {
  if (form > Form::registered) fail("no such form");
  std::string message = read_text(source);
  std::optional<RemoteException> remote;
  std::exception_ptr registered;
  if (form != Form::exact) {
    std::string type_name = read_text(source, kMaxOriginBytes);
    std::vector<std::string> backtrace = read_backtrace(source);
    if (form == Form::registered) registered = try_registered(source, message, nested);
    remote.emplace(std::move(type_name), message, std::move(backtrace));
  }
  const KnownType& base = read_base(source);
  std::exception_ptr exception =
      base.decode(source, message, remote ? &*remote : nullptr, nested);
  return registered ? registered : exception;
}

}  // namespace
}  // namespace killable::wire

namespace killable::detail {

void encode_current_exception(Sink& sink) {
  const std::size_t start = sink.size();
  std::array<std::exception_ptr, kMaxExceptionDepth> chain;  // the outermost first
  std::size_t depth = 0;
  std::exception_ptr next = std::current_exception();
  for (; next && depth < chain.size(); next = wire::nested_in(next))
    chain[depth++] = next;
  if (depth == 0) wire::write_note(sink, "thrown by a language other than C++");
  if (next) wire::write_note(sink, "exceptions nested deeper are left out");
  while (depth-- > 0) {
    const std::size_t room = start + kMaxExceptionRecordBytes - sink.size();
    wire::ThrownWriter(sink, chain[depth], wire::bounds_for(room, depth)).write();
  }
  sink.put(wire::Form::end);
}

std::exception_ptr decode_exception(Source& source) {
  std::exception_ptr exception;
  for (int depth = 0;; ++depth) {
    const auto form = source.get<wire::Form>();
    if (form == wire::Form::end) break;
    if (depth > kMaxExceptionDepth) wire::fail("nested too deep");
    exception = wire::decode_thrown(source, form, exception);
  }
  if (!exception) wire::fail("an empty record");
  return exception;
}

namespace {
// There is no constructor for "nothing": a default one takes what is being handled. Here,
// before main, nothing is.
const std::nested_exception kNothingNested;
}  // namespace

std::nested_exception hold_nested(const std::exception_ptr& nested) {
  if (!nested) return kNothingNested;
  try {
    std::rethrow_exception(nested);
  } catch (...) {
    return {};
  }
}

}  // namespace killable::detail
