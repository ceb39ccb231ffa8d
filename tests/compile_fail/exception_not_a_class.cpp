// EXPECT: an exception type to register is a class that can be copied
#include <killable/codec.hpp>

const killable::RegisterException<int> registered;
