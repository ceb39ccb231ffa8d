#pragma once

#include <cstddef>
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

void ring();

}  // namespace killable::test
