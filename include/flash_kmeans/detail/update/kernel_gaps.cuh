// Lists the clusters of every problem that have no points, or only points that weigh nothing.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../reduce.cuh"
#include "gaps.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kGapsThreads = 1024;

template <class Acc>
struct gaps_params {
  sorted_points sorted;
  Acc const* scales;         // [b][n] factors of rows, or null
  fit_status const* status;  // [b] or null: problems that have converged have no gaps to fill
  gap_lists gaps;
};

// One block a problem.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kGapsThreads) gaps_kernel(gaps_params<Acc> const p) {
  sorted_points const& s = p.sorted;
  std::uint32_t const problem = blockIdx.x;
  std::int64_t const b = s.first + problem;
  std::uint32_t const* const offsets = s.offsets_of(problem);
  std::uint32_t const* const order = s.order_of(problem);
  std::int32_t* const list = p.gaps.clusters + b * s.k;
  auto const is_empty = [&](std::uint32_t j) {
    std::uint32_t const end = offsets[j + 1];
    std::uint32_t i = offsets[j];
    if (p.scales == nullptr) return i == end;
    while (i < end && !(p.scales[b * s.n + order[i]] > 0)) ++i;
    return i == end;
  };
  std::uint32_t found = 0;
  if (!has_converged(p.status, b)) {
    for (std::uint32_t first = 0; first < s.k; first += kGapsThreads) {
      std::uint32_t const j = first + threadIdx.x;
      std::uint32_t const empty = j < s.k && is_empty(j) ? 1 : 0;
      std::uint32_t all;
      std::uint32_t const at = found + block_exclusive_sum(empty, all);
      if (empty != 0) list[at] = static_cast<std::int32_t>(j);
      found += all;
    }
  }
  if (threadIdx.x == 0) p.gaps.counts[b] = static_cast<std::int32_t>(found);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
