#pragma once

#include <cstdint>
#include <stop_token>

#include <killable/detail/bytes.hpp>
#include <killable/detail/shared_memory.hpp>

/// The seam between a worker and the code of one call. The worker's main loop finds the
/// call's trampoline by name and hands it a WorkerCall; the trampoline, instantiated in
/// the user's module, knows the types. The two may belong to different copies of this
/// library (killable-worker loading a shared object that links it), so they meet in this
/// struct alone and never through a global.
namespace killable::detail {

using MakeMemory = MemoryPtr (*)(void* context, std::uint64_t bytes);

enum class Entry : bool { cancellable, cooperative };

struct WorkerCall {
  static constexpr std::uint32_t kVersion = 2;

  std::uint32_t version = kVersion;
  void* context = nullptr;  ///< Passed back to each function below.

  Source* arguments = nullptr;     ///< Past the trampoline's name.
  Sink* value_sink = nullptr;      ///< Bounded by max_result_bytes.
  Sink* exception_sink = nullptr;  ///< Never both: each begins the same memory.

  /// The function is about to run. `cooperative`: SIGTERM requests stop and nothing else.
  void (*enter)(void* context, Entry entry) = nullptr;
  /// It has ended: from now on SIGTERM no longer interrupts.
  void (*leave)(void* context) = nullptr;
  bool committed = false;  ///< Set by the first of the next two; the second does nothing.
  /// Publishes what was written to the sink.
  void (*commit_value)(void* context) = nullptr;
  void (*commit_exception)(void* context) = nullptr;
  /// The thread was unwound by cancellation or pthread_exit(3). Does not return.
  void (*end_unwound)(void* context) = nullptr;
  /// The call's token; asking for it makes the call cooperative.
  std::stop_token (*stop_token)(void* context) = nullptr;
  /// Memory for a SharedArray, in the slot; null: the process makes its own.
  MakeMemory make_memory = nullptr;
  void* memory_context = nullptr;
};

/// What the worker's main loop calls.
using Trampoline = void (*)(WorkerCall& call);

/// What knows the types: decodes callable and arguments from call.arguments, enters,
/// calls, leaves, encodes into call.value_sink and commits.
using Serve = void (*)(WorkerCall& call);

/// Runs `serve` and turns whatever it throws into a committed exception.
void run_call(WorkerCall& call, Serve serve);

}  // namespace killable::detail
