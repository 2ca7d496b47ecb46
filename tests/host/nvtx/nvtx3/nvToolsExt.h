// In the place of the CUDA Toolkit's header of this name: writes down what it is told.
#pragma once

#include <string>
#include <vector>

struct told_ranges {
  static std::vector<std::string>& all() {
    static std::vector<std::string> told;
    return told;
  }
};

inline int nvtxRangePushA(char const* name) {
  told_ranges::all().push_back(std::string("push ") + name);
  return 0;
}

inline int nvtxRangePop() {
  told_ranges::all().push_back("pop");
  return 0;
}
