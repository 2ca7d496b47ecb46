// How the fits that were chosen ended, for the caller.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kStatusThreads = 256;

struct status_params {
  fit_status const* from;  // [problems]
  fit_status* to;
  std::int64_t problems;
};

// What iterations said; points that are not finite are counted again.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) status_kernel(status_params const p) {
  std::int64_t const problem = std::int64_t{blockIdx.x} * Threads + threadIdx.x;
  if (problem >= p.problems) return;
  fit_status status = p.from[problem];
  status.non_finite = 0;
  p.to[problem] = status;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
