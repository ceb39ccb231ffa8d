#pragma once

#include <string>

#include <killable/detail/bytes.hpp>

/// A function's name across processes: the build-id of its module, its offset there, and
/// the path to load the module from where it is not loaded. No registration is needed.
namespace killable::detail {

/// Any function's address; cast back to its own type before it is called.
using AnyFunction = void (*)();

/// Writes the name of `function`. Throws StartError if it lies in no module that another
/// process could find: generated code, or a shared object without a build-id.
void encode_function(Sink& sink, AnyFunction function);

/// The function of that name in this process; loads its module if need be. Throws
/// StartError if there is none, or if the file on disk is another build by now.
AnyFunction decode_function(Source& source);

/// Loads the shared library at `path` for good and finds `symbol` in it. Throws
/// StartError with the loader's reason. See dlopen(3), dlsym(3).
AnyFunction load_symbol(const std::string& path, const std::string& symbol);

/// Bounded by PATH_MAX; throws CodecError beyond that.
void encode_text(Sink& sink, const std::string& text);
std::string decode_text(Source& source);

}  // namespace killable::detail
