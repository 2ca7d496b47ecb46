// Labels that points are summed by: those of clusters whose centroids move elsewhere count nowhere.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "moved_centroids.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kRelabelThreads = 256;

struct relabel_params {
  std::int32_t const* labels;  // [b][n]
  std::int32_t* summed;        // [b][n]
  fit_status const* status;    // [b], problems that have converged need none
  moved_centroids moves;
  std::int64_t n, k, first;
  std::int64_t rows_per_block;
  std::int64_t blocks_per_problem;
  std::int64_t blocks;  // over the problems of a group
};

template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) relabel_kernel(relabel_params const p) {
  for (std::int64_t block = blockIdx.x; block < p.blocks; block += gridDim.x) {
    std::int64_t const problem = block / p.blocks_per_problem, b = p.first + problem;
    if (has_converged(p.status, b)) continue;
    std::int32_t const* const points = p.moves.points + b * p.k;
    bool const moves = p.moves.counts[b] > 0;
    std::int64_t const first = (block - problem * p.blocks_per_problem) * p.rows_per_block;
    std::int64_t const last = first + p.rows_per_block < p.n ? first + p.rows_per_block : p.n;
    for (std::int64_t row = first + threadIdx.x; row < last; row += Threads) {
      std::int32_t const label = p.labels[b * p.n + row];
      bool const leaves = moves && label >= 0 && points[label] >= 0;
      p.summed[b * p.n + row] = leaves ? -1 : label;
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
