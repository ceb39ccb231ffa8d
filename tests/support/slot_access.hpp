#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "wire/slot_format.hpp"

/// What the functions of hostile workers write to that the library alone should.
namespace killable::test {

struct Range {
  std::byte* begin = nullptr;
  std::size_t size = 0;
};

/// This worker's mapping of a memfd of ours, as anybody can find it.
Range find_mapping(const std::string& permissions);

wire::SlotHeader& slot_header();

/// The call that this worker runs, or has run last.
wire::CallNumber current_call();

wire::SlotEntry& slot_entry(wire::CallNumber call = current_call());

/// Where the result of a call lies that has so many bytes.
std::byte* result_place(std::uint64_t length, wire::CallNumber call = current_call());

void ring();

}  // namespace killable::test
