// A program that knows nothing of the library: it loads the plugin named by its argument,
// as an interpreter loads its extensions. A second argument says which killable-worker
// the plugin is to use.

#include <dlfcn.h>
#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  void* plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  auto* works = reinterpret_cast<bool (*)(const char*)>(dlsym(plugin, "plugin_works"));
  if (works == nullptr) return 2;
  const bool ok = works(argc > 2 ? argv[2] : "");
  std::printf("foreign_host: the plugin's calls %s\n", ok ? "worked" : "failed");
  return ok ? 0 : 1;
}
