// Gives the points that were moved to empty clusters their labels back.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "moved_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One block a problem.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kFarthestThreads)
    give_back_kernel(farthest_params<Acc> const p) {
  std::int64_t const b = p.first + blockIdx.x;
  auto const gaps = static_cast<std::uint32_t>(p.gaps.counts[b]);
  for (std::uint32_t t = threadIdx.x; t < gaps; t += kFarthestThreads) {
    p.labels[b * p.n + p.points[b * p.k + t]] = p.origins[b * p.k + t];
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
