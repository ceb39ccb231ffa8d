// Floors of the machine and calls of the library, side by side in one run.
//
// Usage: killable_bench [--json FILE] [--benchmark_...]
//
// Writes to FILE what it has measured and what that comes to, for bench/report.

#include <stdlib.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "memory.hpp"
#include "samples.hpp"
#include "targets.hpp"

namespace killable::bench {

namespace {

using Json = nlohmann::ordered_json;

/// What counts is in all_samples() and not in the means of whole runs.
class Silent : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& /*context*/) override { return true; }
  void ReportRuns(const std::vector<Run>& /*runs*/) override {}
};

/// Takes "--json FILE" out of the arguments.
std::optional<std::string> take_json_path(int& argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) != "--json") continue;
    std::string path = argv[i + 1];
    std::copy(argv + i + 2, argv + argc + 1, argv + i);
    argc -= 2;
    return path;
  }
  return {};
}

Json json_of(const std::optional<double>& number) {
  return number ? Json(*number) : Json();
}

Json json_of_samples() {
  Json rows = Json::array();
  for (const auto& [series, samples] : all_samples()) {
    Json row{{"what", series.what}, {"placement", name_of(series.placement)}};
    if (samples.empty())
      row["could_not_run"] = samples.failure;
    else
      row.update({{"p50_us", samples.median_us()},
                  {"p99_us", samples.p99_us()},
                  {"n", samples.size()}});
    rows.push_back(row);
  }
  return rows;
}

Json json_of(const std::map<std::string, Memory>& memory) {
  Json rows = Json::array();
  for (const auto& [what, row] : memory)
    rows.push_back({{"what", what},
                    {"rss_kb", row.rss_kb},
                    {"pss_kb", row.pss_kb},
                    {"private_dirty_kb", row.private_kb}});
  return rows;
}

Json json_of(const std::vector<Target>& targets) {
  Json rows = Json::array();
  for (const Target& target : targets)
    rows.push_back({{"what", target.what},
                    {"placement", target.placement},
                    {"unit", target.unit},
                    {"measured", json_of(target.measured)},
                    {"against", target.against},
                    {"floor", json_of(target.floor)},
                    {"ratio", json_of(target.ratio())},
                    {"target", target.limit},
                    {"verdict", target.verdict()}});
  return rows;
}

/// Of the last five minutes. What others do at the same time is in every number.
double load_average() {
  std::array<double, 2> loads{};
  ::getloadavg(loads.data(), static_cast<int>(loads.size()));
  return loads[1];
}

void write_json(const std::string& path) {
  const std::map<std::string, Memory> memory = measure_memory();
  const Json results{{"compiler", __VERSION__},
                     {"load average", load_average()},
                     {"samples", json_of_samples()},
                     {"memory", json_of(memory)},
                     {"targets", json_of(all_targets(memory))}};
  std::ofstream file(path);
  file << results.dump(1) << '\n';
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace
}  // namespace killable::bench

int main(int argc, char** argv) {
  namespace bench = killable::bench;
  const std::optional<std::string> json = bench::take_json_path(argc, argv);
  bench::register_floors();
  bench::register_calls();
  bench::register_codec();
  bench::register_pools();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  bench::Silent silent;
  benchmark::RunSpecifiedBenchmarks(&silent);
  std::cout << std::endl;
  if (json) bench::write_json(*json);
}
