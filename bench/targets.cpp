#include "targets.hpp"

#include <span>
#include <utility>

#include "placement.hpp"
#include "samples.hpp"

namespace killable::bench {

namespace {

using Quantile = double (Samples::*)() const;

struct Comparison {
  const char* what;
  const char* against;
  double limit;
  bool in_each_placement = false;
  Quantile quantile = &Samples::median_us;
};

constexpr Comparison kComparisons[]{
    {"call, spare ready", "thread", 2, true},
    {"call, spare ready", "thread, after a pause", 2, true},
    {"call, spare ready", "thread, amid calls", 2, true},
    {"call, spare ready", "thread", 8, true, &Samples::p99_us},
    {"call, spare ready", "thread, amid calls", 8, true, &Samples::p99_us},
    {"call, no spare", "fork to first instruction", 1.5, true},
    {"calls, 8 in flight", "fork+exit+wait, 8 in flight", 1.25, true},
    {"pool call", "futex round trip", 1.5, true},
    {"pool, row of 1000, each", "futex round trip", 1, true},
    {"pool, crash to next result", "thread", 3, true},
    {"pool, crash to next result", "thread, amid calls", 3, true},
    {"pool, 64 MB there and back", "64 MB copied twice", 1.3, true},
    {"pool, 64 MB as a view", "pool, 64 KB as a view", 1.3, true},
    {"pool, 64 MB as a SharedArray", "pool, 64 KB as a SharedArray", 1.3, true},
    {"kill(0ms) to Killed", "SIGKILL to pidfd, asleep", 3, true},
    {"kill(0ms) to Killed", "SIGKILL to pidfd, busy", 3, true},
    {"kill(0ms) to Killed, 1 GB", "SIGKILL to pidfd, asleep", 3, true},
    {"codec, vector<double> 1e6", "copied twice, vector<double> 1e6", 1.2},
    {"codec, map 1e4", "by hand, map 1e4", 1.3},
};

Target compare(const Comparison& comparison, Placement placement) {
  const Samples& ours = all_samples()[{comparison.what, placement}];
  const Samples& floor = all_samples()[{comparison.against, placement}];
  const bool tail = comparison.quantile == &Samples::p99_us;
  Target target{.what = std::string(comparison.what) + (tail ? ", p99" : ""),
                .placement = comparison.in_each_placement ? name_of(placement) : "",
                .unit = "us",
                .measured = {},
                .against = comparison.against,
                .floor = {},
                .limit = comparison.limit,
                .failure = ours.empty() ? ours.failure : floor.failure};
  if (!ours.empty()) target.measured = (ours.*comparison.quantile)();
  if (!floor.empty()) target.floor = floor.median_us();
  return target;
}

/// Against a number that no floor of the machine moves.
Target limited(std::string what, std::string unit, std::optional<double> measured,
               double limit, std::string failure) {
  return {.what = std::move(what),
          .placement = "",
          .unit = std::move(unit),
          .measured = measured,
          .against = "a fixed limit",
          .floor = limit,
          .limit = 1,
          .failure = std::move(failure)};
}

Target codec_of_int() {
  const Samples& samples = all_samples()[{"codec, int", Placement::unpinned}];
  std::optional<double> nanoseconds;
  if (!samples.empty()) nanoseconds = samples.median_us() * 1e3;
  return limited("codec, int", "ns", nanoseconds, 50, samples.failure);
}

Target memory_of_spare(const std::map<std::string, Memory>& memory) {
  std::optional<double> kilobytes;
  if (const auto spare = memory.find("spare 1"); spare != memory.end())
    kilobytes = double(spare->second.private_kb);
  return limited("private dirty memory of a spare", "KB", kilobytes, 64,
                 "no spare was found");
}

Target memory_of_all(const std::map<std::string, Memory>& memory) {
  return limited("RSS of fork server, two spares, host's part", "MB",
                 double(memory.at("all of these").rss_kb) / 1024, 16, "");
}

}  // namespace

std::optional<double> Target::ratio() const {
  if (!measured || !floor) return {};
  return *measured / *floor;
}

std::string Target::verdict() const {
  if (!ratio()) return "could not be run: " + failure;
  return *ratio() <= limit ? "met" : "missed";
}

std::vector<Target> all_targets(const std::map<std::string, Memory>& memory) {
  std::vector<Target> targets;
  for (const Comparison& comparison : kComparisons) {
    const auto placements =
        std::span(kPlacements)
            .first(comparison.in_each_placement ? kPlacements.size() : 1);
    for (const Placement placement : placements)
      targets.push_back(compare(comparison, placement));
  }
  targets.push_back(codec_of_int());
  targets.push_back(memory_of_spare(memory));
  targets.push_back(memory_of_all(memory));
  return targets;
}

}  // namespace killable::bench
