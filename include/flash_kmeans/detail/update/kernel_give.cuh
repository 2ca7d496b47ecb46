// Gives the points that centroids move onto to their clusters, or keeps them from being moved again.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "moved_centroids.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kGiveThreads = 1024;

template <class Acc>
struct give_params {
  moved_centroids moves;
  std::int32_t* summed;  // [b][n] labels, or null
  Acc* distances;        // [b][n], or null; NaN: not to be taken for an empty cluster
  std::int64_t n, k, first;
};

// One block a problem.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kGiveThreads) give_kernel(give_params<Acc> const p) {
  std::int64_t const b = p.first + blockIdx.x;
  if (p.moves.counts[b] == 0) return;
  for (std::int64_t j = threadIdx.x; j < p.k; j += kGiveThreads) {
    std::int32_t const point = p.moves.points[b * p.k + j];
    if (point < 0) continue;
    if (p.summed != nullptr) p.summed[b * p.n + point] = static_cast<std::int32_t>(j);
    if (p.distances != nullptr) p.distances[b * p.n + point] = kNaN<Acc>;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
