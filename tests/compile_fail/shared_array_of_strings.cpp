// EXPECT: the elements of a SharedArray can change at any time, so they are of a type
#include <killable/shared_array.hpp>

#include <string>

killable::SharedArray<std::string> misuse(10);
