#include "worker/warm_up.hpp"

#include <unistd.h>

#include <exception>

#include <killable/detail/exception.hpp>
#include <killable/detail/function_ref.hpp>
#include <killable/errors.hpp>

#include "channel/bell.hpp"
#include "os/deadline.hpp"
#include "worker/interruption.hpp"
#include "worker/standard_streams.hpp"

namespace killable::worker {

namespace {

/// Goes through what every call goes through. The unwinder looks up its tables at the
/// first throw; the dynamic linker a function at its first call, unless the caller was
/// linked with -z now. Our targets see to that for the program. The C++ library is linked
/// without, and so may a program be that does not come by our targets.
void rehearse() {
  detail::HeapSink sink;
  detail::encode_function(sink, &rehearse);  // Any function will do.
  detail::Source source(sink.bytes(), sink.size());
  detail::decode_function(source);
  sink.clear();
  try {
    throw StartError(ENOEXEC, std::generic_category(), "a rehearsal");
  } catch (...) {
    detail::encode_current_exception(sink);
  }
  rehearse_system_calls();
}

}  // namespace

void warm_up() noexcept {
  interruption::warm_up();
  try {
    rehearse();
  } catch (const std::exception&) {
    // The first call will say what is wrong.
  }
}

void rehearse_system_calls() noexcept {
  flush_standard_streams();
  channel::ring(-1);
  ::close(-1);
  static_cast<void>(os::monotonic_ns());  // In a page of the kernel's, see vdso(7).
}

}  // namespace killable::worker
