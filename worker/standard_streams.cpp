#include "worker/standard_streams.hpp"

#include <stdio_ext.h>

#include <cstdio>
#include <exception>
#include <ext/stdio_sync_filebuf.h>
#include <iostream>
#include <typeinfo>

namespace killable::worker {

namespace {

/// Those of the C++ library hand all on to stdout and stderr, until somebody calls
/// std::ios::sync_with_stdio(false) or gives them another buffer.
bool may_hold_output(const std::ostream& stream) {
  using StdioBuffer = __gnu_cxx::stdio_sync_filebuf<char>;
  const std::streambuf* const buffer = stream.rdbuf();
  return buffer != nullptr && typeid(*buffer) != typeid(StdioBuffer);
}

}  // namespace

/// Hardly any call prints, and each flush of nothing takes the lock of a FILE.
void flush_standard_streams() noexcept {
  for (std::ostream* const stream : {&std::cout, &std::cerr, &std::clog}) try {
      if (may_hold_output(*stream)) stream->flush();
    } catch (const std::exception&) {
      // The user made the stream throw; what it cannot write is lost, as on exit(3).
    }
  for (std::FILE* const file : {stdout, stderr})
    if (::__fpending(file) != 0) std::fflush(file);
}

}  // namespace killable::worker
