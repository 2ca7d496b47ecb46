// Copies k distinct random points of every problem into its centroids. Points that are not finite are
// replaced by kernel_redraw.cuh.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "random_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One warp a centroid; every lane draws the same point. The first feature of one that is not finite
// is left NaN.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kRandomThreads, 4)
    random_kernel(random_params<T> const p) {
  std::int64_t const warps = std::int64_t{gridDim.x} * (kRandomThreads / 32);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * kRandomThreads + threadIdx.x) / 32;
       row < p.centroids; row += warps) {
    std::int64_t const b = row / p.k, j = row - b * p.k;
    if (!p.copy(b, j, j) && threadIdx.x % 32 == 0) p.c.problem(b)[j * p.c.ld] = kNaN<centroid_t<T>>;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
