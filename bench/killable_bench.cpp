// Floors of the machine and calls of the library, side by side in one run, and then the
// ratios that count: numbers of one machine say little about another.

#include <cstdio>
#include <string>

#include "samples.hpp"

namespace killable::bench {

namespace {

struct Ratio {
  std::string what;
  std::string against;
  double target;
};

void print_ratios() {
  std::printf("\n%-28s %9s %9s   %-36s %9s %7s %7s\n", "what", "p50 us", "p99 us",
              "against", "p50 us", "ratio", "target");
  for (const auto& [what, against, target] :
       {Ratio{"call, spare ready", "thread", 2},
        Ratio{"call, spare ready", "thread, 1 ms pause", 2},
        Ratio{"call, no spare", "fork to first instruction", 1.5},
        Ratio{"calls, 8 in flight", "fork+exit+wait, 8 in flight", 1.25},
        Ratio{"kill(0ms) to Killed", "SIGKILL to pidfd, asleep", 3},
        Ratio{"kill(0ms) to Killed", "SIGKILL to pidfd, busy", 3},
        Ratio{"kill(0ms) to Killed, 1 GB", "SIGKILL to pidfd, asleep", 3},
        Ratio{"pool call, same processor", "futex round trip, same processor", 1.5},
        Ratio{"pool call, apart", "futex round trip, apart", 1.5},
        Ratio{"pool, row of 1000, each", "futex round trip, apart", 1},
        Ratio{"pool, crash to next result", "thread", 3},
        Ratio{"pool, 64 MB there and back", "64 MB copied twice", 1.3},
        Ratio{"pool, 64 MB as a view", "64 MB copied twice", 1},
        Ratio{"codec, vector<double> 1e6", "copied twice, vector<double> 1e6", 1.2},
        Ratio{"codec, map 1e4", "by hand, map 1e4", 1.3}}) {
    const Samples& ours = all_samples()[what];
    const Samples& floor = all_samples()[against];
    if (ours.empty() || floor.empty()) continue;
    std::printf("%-28s %9.2f %9.2f   %-36s %9.2f %7.2f %7.2f\n", what.c_str(),
                ours.median_us(), ours.p99_us(), against.c_str(), floor.median_us(),
                ours.median_us() / floor.median_us(), target);
  }
}

void print_codec() {
  const Samples& samples = all_samples()["codec, int"];
  if (samples.empty()) return;
  std::printf("codec, int: %.1f ns, target 50\n", samples.median_us() * 1e3);
}

}  // namespace
}  // namespace killable::bench

int main(int argc, char** argv) {
  namespace bench = killable::bench;
  bench::register_floors();
  bench::register_calls();
  bench::register_codec();
  bench::register_pools();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  bench::print_ratios();
  bench::print_codec();
  bench::print_memory();
}
