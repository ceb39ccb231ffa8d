#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// The loaded ELF modules of this process: the program and its shared objects. An address
/// within one means the same in every process that has the same build of it loaded, which
/// its build-id tells. See elf(5), dl_iterate_phdr(3), ld(1) --build-id.
namespace killable::os {

struct Module {
  std::string path;                 ///< Empty for the program itself.
  std::vector<std::byte> build_id;  ///< Empty if the module was linked without one.
  std::uintptr_t base = 0;          ///< What the loader added to its addresses.
};

/// The module in which `address` lies; empty if there is none (generated code).
std::optional<Module> module_of(std::uintptr_t address);

/// The absolute path of the file that is mapped at `address`; empty if there is none. See
/// proc(5), /proc/pid/maps.
std::string file_mapped_at(std::uintptr_t address);

/// The loaded module with this build-id. An empty one stands for the program itself.
std::optional<Module> find_module(std::span<const std::byte> build_id);

/// Loads the shared object at `path` for good, with its symbols kept to itself.
/// Throws std::runtime_error with the loader's reason.
void load_module(const std::string& path);

/// The address of `symbol` in the shared object at `path`, which is loaded for good.
/// Throws std::runtime_error with the loader's reason.
std::uintptr_t find_symbol(const std::string& path, const std::string& symbol);

/// Whether this program becomes a fork server when it is executed as one: because it has
/// the hook before main (a note in its image says so) or called declare_enters_worker().
bool program_enters_worker();
void declare_enters_worker() noexcept;

/// The contents of the note that marks a program with the hook. Its type is the
/// protocol's version, so that a program linked with another version's hook does not
/// count.
inline constexpr char kHookNoteName[] = "killable";
inline constexpr std::uint32_t kHookNoteType = 1;

}  // namespace killable::os
