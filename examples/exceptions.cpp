// What a function throws in its worker is thrown again by getResult(): standard types as
// they are, registered types with their data, and any other as its nearest standard base.

#include <killable/killable.hpp>

#include <iostream>
#include <stdexcept>

struct ParseError : std::runtime_error {
  explicit ParseError(const std::string& text, int at = 0)
      : std::runtime_error(text), line(at) {}
  int line;

  template <class Archive>
  void serialize(Archive& archive) {
    archive(line);
  }
};
inline const killable::RegisterException<ParseError> registered;

struct Unregistered : std::out_of_range {
  using std::out_of_range::out_of_range;
};

void parse(int line) { throw ParseError("unexpected end", line); }
void look_up(int index) { throw Unregistered("no entry " + std::to_string(index)); }

int main() {
  try {
    killable::call(parse, 42);
  } catch (const ParseError& error) {
    std::cout << "line " << error.line << ": " << error.what() << '\n';
  }

  try {
    killable::call(look_up, 7);
  } catch (const std::out_of_range& error) {  // std::exception would do as well
    const auto& remote = dynamic_cast<const killable::RemoteException&>(error);
    std::cout << remote.type_name() << ": " << error.what() << '\n';
  }
}
