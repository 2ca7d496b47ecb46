// What the GPU verbs and the CPU backend ask of their outputs alike.
#pragma once

#include <algorithm>
#include <vector>

#include "../types.hpp"

namespace flash_kmeans::detail {

inline bool wanted(cluster_index const& index) {
  return index.counts != nullptr || index.offsets != nullptr || index.order != nullptr ||
         index.inverse != nullptr;
}

// The problems of a batch folded into one.
inline fit_result summary(std::vector<fit_status> const& status, assign_kernel kernel) {
  fit_result result;
  result.converged = true;
  result.kernel = kernel;
  for (fit_status const& own : status) {
    result.iterations = std::max(result.iterations, static_cast<int>(own.iterations));
    result.converged = result.converged && own.converged != 0;
    result.inertia += own.inertia;
    result.non_finite += own.non_finite;
  }
  return result;
}

}  // namespace flash_kmeans::detail
