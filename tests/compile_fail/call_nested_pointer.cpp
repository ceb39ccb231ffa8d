// EXPECT: a raw pointer cannot cross a process
#include <killable/detail/callable.hpp>

#include <vector>

int count(const std::vector<int*>& pointers);

static_assert(sizeof(killable::detail::CallTraits<decltype(count), std::vector<int*>>) >
              0);
