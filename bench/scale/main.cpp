// How the library scales: calls and kills beside many live workers, and long rows of
// calls. See docs/scaling.md.

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "live_workers.hpp"
#include "mixed_calls.hpp"

namespace killable::bench {

namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Times& times) {
  return {{"p50_us", times.median_us()}, {"p99_us", times.p99_us()}};
}

Json json_of(const Footprint& footprint) {
  return {{"rss_kb", footprint.rss_kb},
          {"pss_kb", footprint.pss_kb},
          {"private_kb", footprint.private_kb},
          {"descriptors", footprint.descriptors}};
}

Json json_of(const AmongLive& point) {
  return {{"live", point.live},
          {"call", json_of(point.call)},
          {"pool_call", json_of(point.pool_call)},
          {"kill_to_result", json_of(point.killed)},
          {"kill_to_join", json_of(point.joined)},
          {"calls_per_second", point.calls_per_second},
          {"kills_per_second", point.kills_per_second},
          {"server_us_per_call", point.server_us_per_call},
          {"server_us_per_kill", point.server_us_per_kill},
          {"host_us_per_call", point.host_us_per_call},
          {"host", json_of(point.host)},
          {"guard", json_of(point.guard)},
          {"fork_server", json_of(point.fork_server)},
          {"worker", json_of(point.worker)},
          {"host_mappings", point.host_mappings},
          {"kernel_kb", point.kernel_kb}};
}

Json json_of(const LongRun& run) {
  Json json{{"tenths", Json::array()}, {"complaints", run.complaints()}};
  for (const LongRun::Part& part : run.tenths)
    json["tenths"].push_back({{"p50_us", part.median_us}, {"p99_us", part.p99_us}});
  for (const LongRun::Holder& holder : run.holders)
    json[holder.name] = {{"before", json_of(holder.before)},
                         {"after", json_of(holder.after)}};
  return json;
}

void print_times_header() {
  std::printf("%6s  %17s  %17s  %17s  %17s  %8s %8s  %9s %9s %9s\n", "live", "call",
              "pool call", "kill to result", "kill to join", "calls/s", "kills/s",
              "cpu/call", "host/call", "cpu/kill");
}

void print_times(const AmongLive& point) {
  std::printf("%6zu", point.live);
  for (const Times* times : {&point.call, &point.pool_call, &point.killed, &point.joined})
    std::printf("  %8.0f/%8.0f", times->median_us(), times->p99_us());
  std::printf("  %8.0f %8.0f  %9.0f %9.0f %9.0f\n", point.calls_per_second,
              point.kills_per_second, point.server_us_per_call, point.host_us_per_call,
              point.server_us_per_kill);
}

void print_holders(const std::vector<AmongLive>& curve) {
  std::printf("\n%6s  %21s  %21s  %21s  %14s  %9s %10s\n", "live", "host, KB and fds",
              "guard", "fork server", "worker", "mappings", "kernel, KB");
  for (const AmongLive& point : curve) {
    std::printf("%6zu", point.live);
    for (const Footprint* held : {&point.host, &point.guard, &point.fork_server})
      std::printf("  %6.0f/%6.0f %7zu", held->pss_kb, held->private_kb,
                  held->descriptors);
    std::printf("  %6.0f/%7.0f  %9zu %10.0f\n", point.worker.pss_kb,
                point.worker.private_kb, point.host_mappings, point.kernel_kb);
  }
  std::puts("KB: PSS/private dirty; mappings: of the host; kernel: of all processes");
}

Json measure_curve(const std::vector<std::size_t>& counts) {
  std::vector<AmongLive> curve;
  Json json = Json::array();
  std::puts("microseconds, p50/p99, beside so many live workers");
  print_times_header();
  for (const std::size_t live : counts) {
    curve.push_back(measure_among(live));
    print_times(curve.back());
    std::fflush(stdout);
    json.push_back(json_of(curve.back()));
  }
  print_holders(curve);
  return json;
}

void print(const LongRun& run) {
  std::printf("%6s  %10s %10s\n", "tenth", "p50 us", "p99 us");
  for (std::size_t i = 0; i < run.tenths.size(); ++i)
    std::printf("%6zu  %10.0f %10.0f\n", i + 1, run.tenths[i].median_us,
                run.tenths[i].p99_us);
  std::printf("\n%-12s  %22s  %17s\n", "", "private dirty, KB", "descriptors");
  for (const auto& [name, before, after] : run.holders)
    std::printf("%-12s  %8.0f -> %10.0f  %6zu -> %7zu\n", name.c_str(), before.private_kb,
                after.private_kb, before.descriptors, after.descriptors);
  for (const std::string& complaint : run.complaints())
    std::printf("FAILED: %s\n", complaint.c_str());
}

int run(int argc, char** argv) {
  CLI::App app("How calls and kills scale with live workers, or (--calls) with time");
  std::vector<std::size_t> live{1, 10, 100, 1000};
  std::size_t calls = 0;
  std::string file;
  app.add_option("--live", live, "numbers of live workers")->check(CLI::PositiveNumber);
  app.add_option("--calls", calls, "run so many mixed calls instead")
      ->check(CLI::Range(1000, 100'000'000));
  app.add_option("--json", file, "write all numbers to this file");
  CLI11_PARSE(app, argc, argv);

  Json json;
  bool is_good = true;
  if (calls != 0) {
    const LongRun long_run = run_mixed_calls(calls);
    print(long_run);
    json = json_of(long_run);
    is_good = long_run.complaints().empty();
  } else {
    json = measure_curve(live);
  }
  if (!file.empty()) std::ofstream(file) << json.dump(2) << '\n';
  return is_good ? 0 : 1;
}

}  // namespace
}  // namespace killable::bench

int main(int argc, char** argv) try {
  return killable::bench::run(argc, argv);
} catch (const std::exception& error) {
  std::fprintf(stderr, "killable_scale: %s\n", error.what());
  return 1;
}
