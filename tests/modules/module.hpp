#pragma once

#include <string>

/// What the modules of modules_test have: which of them this is, in its answer.
extern "C" int module_answer(int question);

/// In C++ linkage, of the module that the test is linked with.
std::string module_greet(const std::string& name);
