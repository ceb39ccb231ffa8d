// EXPECT: give it a cereal serialize function for its members
#include <killable/codec.hpp>

#include <stdexcept>
#include <string>

struct ParseError : std::runtime_error {
  explicit ParseError(const std::string& text, int at) : runtime_error(text), line(at) {}
  int line;
};

const killable::RegisterException<ParseError> registered;
