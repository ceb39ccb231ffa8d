#include <killable/detail/function_ref.hpp>

#include <cerrno>
#include <string>
#include <vector>

#include <killable/errors.hpp>

#include "os/image.hpp"

namespace killable::detail {

namespace {

constexpr std::size_t kMaxBuildIdBytes = 64;
constexpr std::size_t kMaxPathBytes = 4096;

[[noreturn]] void fail(int error, const std::string& why) {
  throw StartError(error, std::generic_category(), "cannot find the function: " + why);
}

void encode_block(Sink& sink, const void* bytes, std::size_t size) {
  sink.put(std::uint64_t{size});
  sink.write(bytes, size);
}

template <class Block>
Block decode_block(Source& source, std::size_t max_size) {
  const auto length = source.get<std::uint64_t>();
  if (length > max_size) throw CodecError("cannot decode a function's name: too long");
  Block block(static_cast<std::size_t>(length), {});
  source.read(block.data(), block.size());
  return block;
}

/// The path of a module, for a worker with another working directory. The loader keeps it
/// as dlopen(3) was given it, and the host may have changed its own since.
std::string absolute_path(const os::Module& module, std::uintptr_t address) {
  if (module.path.empty() || module.path.front() == '/') return module.path;
  std::string path = os::file_mapped_at(address);
  return path.empty() ? module.path : path;
}

os::Module load(const std::string& path, std::span<const std::byte> build_id) {
  if (path.empty())
    fail(ENOEXEC, "it lies in the host's program, and the worker runs another");
  try {
    os::load_module(path);
  } catch (const std::runtime_error& error) {
    fail(ENOENT, std::string("its module cannot be loaded: ") + error.what());
  }
  if (std::optional<os::Module> module = os::find_module(build_id)) return *module;
  fail(ESTALE, path + " is not the build that the host has loaded (build-ids differ)");
}

}  // namespace

void encode_function(Sink& sink, AnyFunction function) {
  const auto address = reinterpret_cast<std::uintptr_t>(function);
  const std::optional<os::Module> module = os::module_of(address);
  if (!module) fail(EFAULT, "its address lies in no loaded module");
  if (module->build_id.empty() && !module->path.empty())
    fail(ENOEXEC, module->path + " has no build-id; link it with -Wl,--build-id");
  const std::string path = absolute_path(*module, address);
  encode_block(sink, module->build_id.data(), module->build_id.size());
  encode_block(sink, path.data(), path.size());
  sink.put(std::uint64_t{address - module->base});
}

AnyFunction decode_function(Source& source) {
  const auto build_id = decode_block<std::vector<std::byte>>(source, kMaxBuildIdBytes);
  const auto path = decode_block<std::string>(source, kMaxPathBytes);
  const auto offset = source.get<std::uint64_t>();
  std::optional<os::Module> module = os::find_module(build_id);
  if (!module) module = load(path, build_id);
  return reinterpret_cast<AnyFunction>(module->base + offset);
}

AnyFunction load_symbol(const std::string& path, const std::string& symbol) try {
  return reinterpret_cast<AnyFunction>(os::find_symbol(path, symbol));
} catch (const std::runtime_error& error) {
  fail(ENOENT, error.what());
}

void encode_text(Sink& sink, const std::string& text) {
  if (text.size() > kMaxPathBytes)
    throw CodecError("cannot encode a path or symbol of " + std::to_string(text.size()) +
                     " bytes");
  encode_block(sink, text.data(), text.size());
}

std::string decode_text(Source& source) {
  return decode_block<std::string>(source, kMaxPathBytes);
}

}  // namespace killable::detail
