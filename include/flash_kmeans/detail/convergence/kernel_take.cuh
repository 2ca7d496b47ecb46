// The centroids of the fits that were chosen, for the caller.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kTakeThreads = 256;

template <class Acc>
struct take_params {
  device_matrix<Acc const> from;  // [copies * problems][k][d]
  device_matrix<Acc> to;          // [problems][k][d]
  std::int32_t const* chosen;     // [problems] copy, or -1: nothing is taken
  std::int64_t problems, rows;    // rows: problems * k
  std::int32_t k, d;
};

// One warp a centroid.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kTakeThreads) take_kernel(take_params<Acc> const p) {
  std::int64_t const warps = std::int64_t{gridDim.x} * (kTakeThreads / 32);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * kTakeThreads + threadIdx.x) / 32;
       row < p.rows; row += warps) {
    std::int64_t const problem = row / p.k, j = row - problem * p.k;
    std::int32_t const copy = p.chosen[problem];
    if (copy < 0) continue;
    Acc const* const from = p.from.problem(copy * p.problems + problem) + j * p.from.ld;
    Acc* const to = p.to.problem(problem) + j * p.to.ld;
    for (std::int32_t i = threadIdx.x % 32; i < p.d; i += 32) to[i] = from[i];
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
