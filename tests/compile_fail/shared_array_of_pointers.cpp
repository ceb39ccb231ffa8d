// EXPECT: the elements of a SharedArray can change at any time, so they are of a type
#include <killable/shared_array.hpp>

killable::SharedArray<const char*> misuse(10);
