// Stable counting sort of the points of every problem by cluster.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "counting.cuh"
#include "sort_span.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One block a span.
template <int MostThreads, int Bits, bool Together>
FLASH_KMEANS_KERNEL void __launch_bounds__(MostThreads, kSortBlocks)
    sort_kernel(counting_params const p) {
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  std::uint32_t const problem = blockIdx.x / p.spans, span = blockIdx.x - problem * p.spans;
  if (p.skips(problem)) return;
  counted_points const points(p, problem);
  sort_span<Bits, Together, counted_points>(p, points, problem, span).sort();
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
