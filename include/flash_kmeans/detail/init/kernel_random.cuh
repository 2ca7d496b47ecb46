// Copies k distinct random points of every problem into its centroids.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../math.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kRandomThreads = 256;

template <class T>
struct random_params {
  device_matrix<T const> x;        // [b][n][d]
  device_matrix<centroid_t<T>> c;  // [b][k][d]
  std::uint64_t seed;
  std::int64_t n;
  std::int32_t k, d;
  std::int64_t centroids;  // b * k
};

// One warp a centroid; every lane draws the same point.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kRandomThreads) random_kernel(random_params<T> const p) {
  std::int64_t const warps = std::int64_t{gridDim.x} * (kRandomThreads / 32);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * kRandomThreads + threadIdx.x) / 32;
       row < p.centroids; row += warps) {
    std::int64_t const b = row / p.k, j = row - b * p.k;
    T const* const from = p.x.problem(b) + random_centroid(j, p.n, b, p.seed) * p.x.ld;
    centroid_t<T>* const to = p.c.problem(b) + j * p.c.ld;
    for (std::int32_t i = threadIdx.x % 32; i < p.d; i += 32) to[i] = widen<centroid_t<T>>(from[i]);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
