#include <cstdint>

#include "os/image.hpp"
#include "worker/entry.hpp"

/// The hook before main. The program is linked with --wrap=main, so that its start-up
/// code calls __wrap_main and __real_main is the program's own. See ld(1), --wrap.

extern "C" {

int __real_main(int argc, char** argv, char** environment);

int __wrap_main(int argc, char** argv, char** environment) {
  killable::worker::enter_if_ours(argc, argv);
  return __real_main(argc, argv, environment);
}
}

namespace {

/// Tells every copy of the library in this process that the program has the hook, also
/// those in shared objects, which see none of its symbols. Laid out as elf(5) wants
/// notes.
struct HookNote {
  std::uint32_t name_size = sizeof killable::os::kHookNoteName;
  std::uint32_t content_size = 0;
  std::uint32_t type = killable::os::kHookNoteType;
  char name[(sizeof killable::os::kHookNoteName + 3) / 4 * 4] = {'k', 'i', 'l', 'l',
                                                                 'a', 'b', 'l', 'e'};
};

[[gnu::section(".note.killable"), gnu::used,
  gnu::aligned(4)]] constinit const HookNote hook_note;

}  // namespace
