// The j nearest of all centroids, from those of each part of them (nearest_j.cuh).
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "nearest_j.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class Acc>
struct merge_lists_params {
  Acc const* scores;  // [tile][part][tile_points][j], each list sorted
  std::int32_t const* indices;
  std::int32_t* labels;  // [points][j]
  std::int64_t n, points, tiles_per_problem;
  std::int32_t tile_points, parts, j;
};

inline constexpr int kMergeListsThreads = 128;

// One warp a point.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kMergeListsThreads)
    merge_lists_kernel(merge_lists_params<Acc> const p) {
  int const lane = threadIdx.x % 32;
  std::int64_t const warps = std::int64_t{gridDim.x} * (kMergeListsThreads / 32);
  for (std::int64_t point = (std::int64_t{blockIdx.x} * kMergeListsThreads + threadIdx.x) / 32;
       point < p.points; point += warps) {
    std::int64_t const b = point / p.n, i = point - b * p.n;
    std::int64_t const tile = b * p.tiles_per_problem + i / p.tile_points;
    ranking<Acc> best;
    best.load(nullptr, nullptr, 0);
    for (std::int32_t part = 0; part < p.parts; ++part) {
      std::int64_t const list = ((tile * p.parts + part) * p.tile_points + i % p.tile_points) * p.j;
      for (std::int32_t at = lane; at - lane < p.j; at += 32) {
        best.take(at < p.j ? ranked<Acc>(p.scores[list + at], p.indices[list + at]) : ranked<Acc>(),
                  p.j);
      }
    }
    best.store_indices(p.labels + point * p.j, p.j);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
