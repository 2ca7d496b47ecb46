// Counts the points whose label differs from the one that they had, and marks the clusters that
// points count for.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../reduce.cuh"
#include "counts.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kTrackThreads = 256;

template <class Acc>
struct track_params {
  std::int32_t const* labels;  // [b][n], negative: counts for no cluster
  std::int32_t* previous;      // [b][n], becomes labels
  Acc const* scales;           // [b][n] factors of rows in sums, or null
  fit_status const* status;    // [b], problems that have converged stay as they are
  std::int32_t* marks;         // [b][k], 1 for clusters that points count for
  iteration_counts* counts;    // [b]
  std::int64_t n, k;
  std::int64_t rows_per_block;
  std::int64_t blocks_per_problem;
  std::int64_t blocks;  // over all problems
};

template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kTrackThreads) track_kernel(track_params<Acc> const p) {
  for (std::int64_t block = blockIdx.x; block < p.blocks; block += gridDim.x) {
    std::int64_t const b = block / p.blocks_per_problem;
    if (has_converged(p.status, b)) continue;
    std::int64_t const first = (block - b * p.blocks_per_problem) * p.rows_per_block;
    std::int64_t const last = first + p.rows_per_block < p.n ? first + p.rows_per_block : p.n;
    std::int32_t moved = 0;
    for (std::int64_t row = first + threadIdx.x; row < last; row += kTrackThreads) {
      std::int64_t const at = b * p.n + row;
      std::int32_t const label = p.labels[at];
      moved += label != p.previous[at] ? 1 : 0;
      p.previous[at] = label;
      if (label < 0 || (p.scales != nullptr && !(p.scales[at] > 0))) continue;
      // All who write here write the same.
      std::int32_t volatile* const mark = p.marks + b * p.k + label;
      if (*mark == 0) *mark = 1;
    }
    moved = group_sum(moved, 32);
    if (threadIdx.x % 32 == 0 && moved != 0) {
      atomicAdd(&p.counts[b].moved, static_cast<unsigned long long>(moved));
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
