#include "worker/entry.hpp"

#include <string_view>

#include <killable/runtime.hpp>

#include "os/image.hpp"
#include "wire/exec_format.hpp"
#include "worker/guard.hpp"
#include "worker/title.hpp"
#include "worker/worker_process.hpp"

namespace killable {

void worker::enter_if_ours(int argc, char** argv) noexcept {
  if (argc < 3) return;
  const std::string_view role = argv[1];
  if (role != wire::kGuardArgument && role != wire::kWorkerArgument) return;
  keep_title_memory(argc, argv);
  os::declare_enters_worker();
  if (role == wire::kGuardArgument) run_guard();
  resume_spawned_worker(argc, argv);
}

void init(int argc, char** argv) {
  worker::enter_if_ours(argc, argv);
  os::declare_enters_worker();
}

}  // namespace killable
