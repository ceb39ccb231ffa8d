// Values to bytes and back, against memcpy(3) and what one would write by hand.

#include <killable/killable.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "samples.hpp"

namespace killable::bench {

namespace {

using detail::HeapSink;
using detail::Source;
using Numbers = std::vector<double>;
using Index = std::map<std::string, std::vector<int>>;

int make_int() { return 42; }

Numbers make_numbers() { return Numbers(1'000'000, 0.5); }

Index make_index() {
  Index index;
  for (int i = 0; i < 10'000; ++i)
    index.emplace("key number " + std::to_string(i),
                  std::vector<int>(static_cast<std::size_t>(i % 16), i));
  return index;
}

/// `cross(sink, value)` encodes into a sink that has its memory already, and decodes;
/// `repeat` times, for what is short, and given for each.
template <auto make, auto cross, int repeat = 1>
std::vector<double> crossings(Placement /*placement*/, int count) {
  const auto value = make();
  HeapSink sink;
  cross(sink, value);
  Stopwatch stopwatch;
  for (int i = 0; i < count; ++i) {
    stopwatch.start();
    for (int j = 0; j < repeat; ++j) {
      sink.clear();
      cross(sink, value);
    }
    stopwatch.stop(repeat);
  }
  return std::move(stopwatch).seconds();
}

template <class T>
void cross_by_codec(HeapSink& sink, const T& value) {
  detail::encode(sink, value);
  Source source(sink.bytes(), std::numeric_limits<std::uint64_t>::max());
  T decoded = detail::decode_whole<T>(source);
  benchmark::DoNotOptimize(decoded);
}

/// One copy into memory that is there, one into a vector that is made, as decoding does.
void copy_twice(HeapSink& sink, const Numbers& numbers) {
  sink.write(numbers.data(), numbers.size() * sizeof(double));
  const auto* begin = reinterpret_cast<const double*>(sink.bytes().data());
  Numbers decoded(begin, begin + numbers.size());
  benchmark::DoNotOptimize(decoded);
}

void write_size(HeapSink& sink, std::uint64_t size) { sink.write(&size, sizeof size); }

std::uint64_t read_size(const std::byte*& at) {
  std::uint64_t size = 0;
  std::memcpy(&size, at, sizeof size);
  at += sizeof size;
  return size;
}

/// Trusts its input, which the codec does not.
void cross_by_hand(HeapSink& sink, const Index& index) {
  write_size(sink, index.size());
  for (const auto& [key, numbers] : index) {
    write_size(sink, key.size());
    sink.write(key.data(), key.size());
    write_size(sink, numbers.size());
    sink.write(numbers.data(), numbers.size() * sizeof(int));
  }
  Index decoded;
  const std::byte* at = sink.bytes().data();
  for (std::uint64_t left = read_size(at); left != 0; --left) {
    const std::uint64_t length = read_size(at);
    std::string key(reinterpret_cast<const char*>(at), length);
    at += length;
    std::vector<int> numbers(read_size(at));
    if (!numbers.empty()) std::memcpy(numbers.data(), at, numbers.size() * sizeof(int));
    at += numbers.size() * sizeof(int);
    decoded.emplace_hint(decoded.end(), std::move(key), std::move(numbers));
  }
  benchmark::DoNotOptimize(decoded);
}

}  // namespace

void register_codec() {
  add("codec, int", 300, crossings<make_int, cross_by_codec<int>, 1000>);
  add("codec, vector<double> 1e6", 20, crossings<make_numbers, cross_by_codec<Numbers>>);
  add("copied twice, vector<double> 1e6", 20, crossings<make_numbers, copy_twice>);
  add("codec, map 1e4", 20, crossings<make_index, cross_by_codec<Index>>);
  add("by hand, map 1e4", 20, crossings<make_index, cross_by_hand>);
}

}  // namespace killable::bench
