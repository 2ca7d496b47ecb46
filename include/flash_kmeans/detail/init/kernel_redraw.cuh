// Where a random centroid is a point that is not finite: draws all centroids of the problem anew and
// passes over such points.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "random_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One block a problem.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kRandomThreads) redraw_kernel(random_params<T> const p) {
  std::int64_t const b = blockIdx.x;
  centroid_t<T> const* const c = p.c.problem(b);
  bool finite = true;
  for (std::int64_t j = threadIdx.x; j < p.k; j += kRandomThreads)
    finite &= is_finite(c[j * p.c.ld]);
  if (__syncthreads_and(finite)) return;
  p.draw_rest(b, 0, [](std::int64_t) { return true; });
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
