#include "samples.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "os/unique_fd.hpp"
#include "quantile.hpp"

namespace killable::bench {

namespace {

/// Until the processes of an ended session are gone.
constexpr std::chrono::milliseconds kQuiet{20};

void write_all(int fd, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size != 0) {
    const ssize_t written = ::write(fd, at, size);
    if (written <= 0) ::_exit(2);
    at += written;
    size -= static_cast<std::size_t>(written);
  }
}

/// Until the other end is closed.
std::string read_all(int fd) {
  std::string bytes;
  std::array<char, 65536> buffer;
  for (ssize_t count = 0; (count = ::read(fd, buffer.data(), buffer.size())) > 0;)
    bytes.append(buffer.data(), static_cast<std::size_t>(count));
  return bytes;
}

/// Writes what was measured, or why it could not be.
[[noreturn]] void in_child(int fd, Measure measure, Placement placement, int events) {
  try {
    const std::vector<double> seconds = measure(placement, events);
    write_all(fd, seconds.data(), seconds.size() * sizeof(double));
    ::_exit(0);
  } catch (const std::exception& error) {
    write_all(fd, error.what(), std::strlen(error.what()));
    ::_exit(1);
  }
}

std::vector<double> run_in_child(Measure measure, Placement placement, int events) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) == -1) throw std::runtime_error("cannot pipe2");
  const os::UniqueFd read_end(ends[0]);
  os::UniqueFd write_end(ends[1]);
  const pid_t child = ::fork();
  if (child == -1) throw std::runtime_error("cannot fork");
  if (child == 0) in_child(write_end.get(), measure, placement, events);
  write_end.reset();
  const std::string bytes = read_all(read_end.get());
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) throw std::runtime_error(bytes.empty() ? "it crashed" : bytes);
  std::vector<double> seconds(bytes.size() / sizeof(double));
  std::memcpy(seconds.data(), bytes.data(), bytes.size());
  return seconds;
}

void run(benchmark::State& state, Samples& samples, Measure measure, Placement placement,
         int events) {
  for (auto _ : state) {
    try {
      const std::vector<double> seconds = run_in_child(measure, placement, events);
      samples.add(seconds);
      state.SetIterationTime(seconds.front());
    } catch (const std::exception& error) {
      samples.failure = error.what();
      state.SkipWithError(error.what());
      break;
    }
    std::cout << '.' << std::flush;  // a sign of life
    std::this_thread::sleep_for(kQuiet);
  }
}

}  // namespace

void Samples::add(std::span<const double> seconds) {
  seconds_.insert(seconds_.end(), seconds.begin(), seconds.end());
}

double Samples::quantile_us(double which) const {
  return quantile(seconds_, which) * 1e6;
}

std::map<Series, Samples>& all_samples() {
  static std::map<Series, Samples> samples;
  return samples;
}

void add(const std::string& what, int events, Measure measure,
         std::span<const Placement> placements) {
  for (const Placement placement : placements) {
    Samples& samples = all_samples()[{what, placement}];
    if (placement == Placement::apart && !can_be_apart()) {
      samples.failure = "there is one processor";
      continue;
    }
    benchmark::RegisterBenchmark((what + '/' + name_of(placement)).c_str(),
                                 [=, &samples](benchmark::State& state) {
                                   run(state, samples, measure, placement, events);
                                 })
        ->UseManualTime()
        ->Iterations(1);
  }
}

void add(const std::string& what, int events, Measure measure) {
  add(what, events, measure, std::array{Placement::unpinned});
}

}  // namespace killable::bench
