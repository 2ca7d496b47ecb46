// Labels that points are summed by: parts of crowded clusters have those of the clusters that they are
// given to, and the points that were there count nowhere.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../balance.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "moved_centroids.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kRelabelThreads = 256;

struct relabel_params {
  sorted_points sorted;
  std::int32_t const* labels;  // [b][n], that they are sorted by
  std::int32_t* summed;        // [b][n]
  fit_status const* status;    // [b], problems that have converged need none
  moved_centroids moves;
  std::int64_t rows_per_block;
  std::int64_t blocks_per_problem;
  std::int64_t blocks;  // over the problems of a group
};

template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) relabel_kernel(relabel_params const p) {
  sorted_points const& s = p.sorted;
  for (std::int64_t block = blockIdx.x; block < p.blocks; block += gridDim.x) {
    auto const problem = static_cast<std::uint32_t>(block / p.blocks_per_problem);
    std::int64_t const b = s.first + problem;
    if (has_converged(p.status, b)) continue;
    std::int32_t const* const labels = p.labels + b * s.n;
    std::int32_t* const summed = p.summed + b * s.n;
    std::uint32_t const* const offsets = s.offsets_of(problem);
    std::uint32_t const* const dealt = p.moves.dealt + b * s.k;
    std::int32_t const* const clusters = p.moves.clusters + b * s.k;
    std::uint8_t const* const moves = p.moves.moves + b * s.k;
    // Where a point of cluster j counts that is at this place of the order.
    auto const summed_by = [&](std::int32_t j, std::int64_t at) {
      if (j < 0 || moves[j] != 0) return -1;
      std::uint32_t const given = j == 0 ? 0 : dealt[j - 1];
      std::int64_t const parts = std::int64_t{dealt[j]} - given + 1;
      if (parts == 1) return j;
      std::int64_t const begin = offsets[j], points = offsets[j + 1] - begin;
      std::int64_t const part = part_of(at - begin, parts, points);
      std::int32_t const to = part == 0 ? -1 : clusters[given + part - 1];
      return to < 0 ? j : to;
    };
    bool const any_moves = p.moves.counts[b] > 0;
    std::int64_t const first = (block - problem * p.blocks_per_problem) * p.rows_per_block;
    std::int64_t const last = first + p.rows_per_block < s.n ? first + p.rows_per_block : s.n;
    for (std::int64_t at = first + threadIdx.x; at < last; at += Threads) {
      std::int64_t const point = any_moves ? s.order_of(problem)[at] : at;
      std::int32_t const label = labels[point];
      summed[point] = any_moves ? summed_by(label, at) : label;
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
