// Counts the spans of every problem before kernel_sort.cuh sorts them.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "count_span.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kCountThreads = 512;

// One block a span. Shared memory: [buckets] counts.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) count_kernel(counting_params const p) {
  extern __shared__ std::uint32_t bucket_counts[];
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  std::uint32_t const problem = blockIdx.x / p.spans, span = blockIdx.x - problem * p.spans;
  if (p.skips(problem)) return;
  count_span(p, counted_points(p, problem), problem, span, Threads, bucket_counts);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
