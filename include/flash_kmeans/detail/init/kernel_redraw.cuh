// Where a random centroid is a point that is not finite: draws all centroids of the problem anew and
// passes over such points.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "random_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One block a problem, whose warps try one draw each. With fewer finite points than centroids, they
// are repeated; without any, centroids are zero.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kRandomThreads) redraw_kernel(random_params<T> const p) {
  using acc = centroid_t<T>;
  constexpr int kWarps = kRandomThreads / 32;
  std::int64_t const b = blockIdx.x;
  int const warp = threadIdx.x / 32;
  acc* const c = p.c.problem(b);
  bool finite = true;
  for (std::int32_t j = threadIdx.x; j < p.k; j += kRandomThreads)
    finite &= is_finite(c[j * p.c.ld]);
  if (__syncthreads_and(finite)) return;
  std::int64_t found = 0;
  for (std::int64_t first = 0; first < p.n && found < p.k; first += kWarps) {
    bool const own = first + warp < p.n && p.is_finite_draw(b, first + warp);
    __shared__ bool finite_draws[kWarps];
    __syncthreads();  // those before have been read
    if (threadIdx.x % 32 == 0) finite_draws[warp] = own;
    __syncthreads();
    std::int64_t before = found;
    for (int w = 0; w < kWarps; ++w) {
      before += w < warp && finite_draws[w];
      found += finite_draws[w];
    }
    if (own && before < p.k) p.copy(b, first + warp, before);
  }
  __syncthreads();
  for (std::int64_t j = found + warp; j < p.k; j += kWarps) {
    for (std::int32_t i = threadIdx.x % 32; i < p.d; i += 32) {
      c[j * p.c.ld + i] = found > 0 ? c[(j % found) * p.c.ld + i] : acc{0};
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
