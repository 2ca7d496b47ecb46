// What the GPU verbs and the CPU backend ask of their outputs alike.
#pragma once

#include <algorithm>

#include "../types.hpp"
#include "host/abi.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI_HOST {

inline bool wanted(cluster_index const& index) {
  return index.counts != nullptr || index.offsets != nullptr || index.order != nullptr ||
         index.inverse != nullptr;
}

// The problems of a batch folded into one.
template <class Statuses>
fit_result summary(Statuses const& status, assign_kernel kernel) {
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

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail
