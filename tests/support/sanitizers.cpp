/// What the sanitizers are told, wherever a test program runs.

extern "C" const char* __tsan_default_options() {
  // SIGTERM unwinds a function out of its signal handler, destructors and all: that is
  // the point. Where it does so is always a cancellation point, never within malloc(3).
  return "report_signal_unsafe=0";
}
