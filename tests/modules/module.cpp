#include "module.hpp"

int module_answer(int question) { return 10 * question + MODULE_ANSWER; }

std::string module_greet(const std::string& name) { return "hello " + name; }
