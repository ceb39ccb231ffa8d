#include <killable/detail/bytes.hpp>

#include <string>

#include <killable/errors.hpp>

namespace killable::detail {

void FixedSink::grow(std::size_t more) {
  throw LimitExceeded("cannot encode " + std::to_string(size_ + more) +
                      " bytes: the limit is " + std::to_string(capacity_));
}

void Source::fail_short(std::size_t size) const {
  throw CodecError("cannot decode: " + std::to_string(size) + " bytes wanted at offset " +
                   std::to_string(position_) + " of " + std::to_string(bytes_.size()));
}

void Source::fail_budget(std::uint64_t count, std::uint64_t size) const {
  throw CodecError("cannot decode: " + std::to_string(count) + " elements of " +
                   std::to_string(size) + " bytes exceed the memory budget of " +
                   std::to_string(memory_budget_) + " bytes left");
}

void Source::fail_probes() {
  throw CodecError("cannot decode a hash table: too many of its keys collide");
}

void Nested::fail_depth() {
  throw CodecError("cannot encode or decode a value nested deeper than " +
                   std::to_string(kMaxDepth));
}

}  // namespace killable::detail
