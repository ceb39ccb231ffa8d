// EXPECT: the elements of a SharedArray can change at any time, so they are of a type
#include <killable/shared_array.hpp>

struct Flagged {
  int value;
  bool flag;
};

killable::SharedArray<Flagged> misuse(10);
