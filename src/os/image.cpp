#include "os/image.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <stdexcept>

namespace killable::os {

namespace {

std::atomic<bool> declared{false};

struct Note {
  std::string_view name;
  std::uint32_t type;
  std::span<const std::byte> content;
};

/// Calls `visit(note)` for each note of the segment until it returns true.
template <class Visit>
bool any_note(std::span<const std::byte> segment, std::size_t alignment, Visit visit) {
  const auto padded = [alignment](std::size_t size) {
    return (size + alignment - 1) & ~(alignment - 1);
  };
  while (segment.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, segment.data(), sizeof header);
    const std::size_t content_at = padded(sizeof header + header.n_namesz);
    const std::size_t end = padded(content_at + header.n_descsz);
    if (content_at + header.n_descsz > segment.size()) return false;
    const char* name = reinterpret_cast<const char*>(segment.data() + sizeof header);
    // The name's length counts its terminator.
    const Note note{.name = {name, header.n_namesz == 0 ? 0 : header.n_namesz - 1},
                    .type = header.n_type,
                    .content = segment.subspan(content_at, header.n_descsz)};
    if (visit(note)) return true;
    segment = segment.subspan(std::min(end, segment.size()));
  }
  return false;
}

template <class Visit>
bool any_note(const dl_phdr_info& module, Visit visit) {
  for (int i = 0; i < module.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = module.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* begin =
        reinterpret_cast<const std::byte*>(module.dlpi_addr + segment.p_vaddr);
    if (any_note({begin, segment.p_memsz}, segment.p_align == 8 ? 8 : 4, visit))
      return true;
  }
  return false;
}

std::vector<std::byte> build_id_of(const dl_phdr_info& module) {
  std::vector<std::byte> build_id;
  any_note(module, [&](const Note& note) {
    if (note.name != "GNU" || note.type != NT_GNU_BUILD_ID) return false;
    build_id.assign(note.content.begin(), note.content.end());
    return true;
  });
  return build_id;
}

bool contains(const dl_phdr_info& module, std::uintptr_t address) {
  return std::any_of(module.dlpi_phdr, module.dlpi_phdr + module.dlpi_phnum,
                     [&](const ElfW(Phdr) & segment) {
                       return segment.p_type == PT_LOAD &&
                              address - module.dlpi_addr - segment.p_vaddr <
                                  segment.p_memsz;
                     });
}

Module describe(const dl_phdr_info& module) {
  return {.path = module.dlpi_name,
          .build_id = build_id_of(module),
          .base = module.dlpi_addr};
}

/// Held during dl_iterate_phdr(3) and during fork(2), so that the two never meet: glibc
/// leaves the loader's lock to the child as it is, and one that another thread held would
/// stay locked there for ever.
std::mutex& iteration_mutex() {
  static std::mutex mutex;
  static const int registered [[maybe_unused]] = ::pthread_atfork(
      [] { iteration_mutex().lock(); }, [] { iteration_mutex().unlock(); },
      [] { iteration_mutex().unlock(); });
  return mutex;
}

/// Calls `visit(module)` for each loaded module until it returns true. The program itself
/// comes first. Must not throw: the loader's lock is held.
template <class Visit>
bool any_module(Visit visit) {
  const std::lock_guard no_fork(iteration_mutex());
  const auto callback = [](dl_phdr_info* module, std::size_t, void* data) -> int {
    return (*static_cast<Visit*>(data))(*module) ? 1 : 0;
  };
  return ::dl_iterate_phdr(callback, &visit) != 0;
}

void* open_module(const std::string& path) {
  void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(::dlerror());
  return handle;
}

}  // namespace

std::optional<Module> module_of(std::uintptr_t address) {
  std::optional<Module> found;
  any_module([&](const dl_phdr_info& module) {
    if (contains(module, address)) found = describe(module);
    return found.has_value();
  });
  return found;
}

std::string file_mapped_at(std::uintptr_t address) {
  constexpr std::string_view kDeleted = " (deleted)";
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%zx-%zx", &begin, &end) != 2) continue;
    const std::size_t slash = line.find('/');
    if (address < begin || address >= end || slash == std::string::npos) continue;
    std::string path = line.substr(slash);
    if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
    return path;
  }
  return {};
}

std::optional<Module> find_module(std::span<const std::byte> build_id) {
  std::optional<Module> found;
  any_module([&](const dl_phdr_info& module) {
    const bool is_program = *module.dlpi_name == '\0';
    if (build_id.empty() ? is_program : std::ranges::equal(build_id_of(module), build_id))
      found = describe(module);
    return found.has_value();
  });
  return found;
}

void load_module(const std::string& path) { open_module(path); }

std::uintptr_t find_symbol(const std::string& path, const std::string& symbol) {
  void* const address = ::dlsym(open_module(path), symbol.c_str());
  if (address == nullptr) throw std::runtime_error(::dlerror());
  return reinterpret_cast<std::uintptr_t>(address);
}

bool program_enters_worker() {
  if (declared.load(std::memory_order_relaxed)) return true;
  static const bool has_hook = [] {
    bool found = false;
    any_module([&](const dl_phdr_info& program) {
      found = any_note(program, [](const Note& note) {
        return note.name == kHookNoteName && note.type == kHookNoteType;
      });
      return true;  // Only the first: a shared object cannot have the hook.
    });
    return found;
  }();
  return has_hook;
}

void declare_enters_worker() noexcept { declared.store(true, std::memory_order_relaxed); }

}  // namespace killable::os
