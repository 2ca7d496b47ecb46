// Chooses for each problem the fit with the lowest inertia, of several that were seeded differently.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kChooseThreads = 256;

struct choose_params {
  fit_status const* status;  // [copies][problems]
  fit_status* best;          // [problems], of earlier rounds
  std::int32_t* chosen;      // [problems] the copy that is better than the best, or -1
  std::int64_t problems, copies;
  bool first;  // round: there is no best
};

// One thread a problem. Of equals the first is kept; a NaN is above all.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) choose_kernel(choose_params const p) {
  std::int64_t const problem = std::int64_t{blockIdx.x} * Threads + threadIdx.x;
  if (problem >= p.problems) return;
  fit_status best = p.first ? p.status[problem] : p.best[problem];
  std::int32_t chosen = p.first ? 0 : -1;
  for (std::int64_t i = 0; i < p.copies; ++i) {
    fit_status const other = p.status[i * p.problems + problem];
    if (other.inertia < best.inertia ||
        (best.inertia != best.inertia && other.inertia == other.inertia)) {
      best = other;
      chosen = static_cast<std::int32_t>(i);
    }
  }
  p.best[problem] = best;
  p.chosen[problem] = chosen;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
