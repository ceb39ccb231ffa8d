// EXPECT: wrap it in a lambda
#include <killable/detail/callable.hpp>

struct Solver {
  int solve(int);
};

static_assert(
    sizeof(killable::detail::CallTraits<decltype(&Solver::solve), Solver, int>) > 0);
