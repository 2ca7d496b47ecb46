// Mends labels after a fit where nobody else looks at them.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "mended_labels.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kMendThreads = 256;

struct mend_params {
  mended_labels mended;
  std::int64_t n, points;  // of a problem, of all
};

template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) mend_kernel(mend_params const p) {
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  std::int64_t const threads = std::int64_t{gridDim.x} * Threads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * Threads + threadIdx.x; i < p.points;
       i += threads) {
    if (p.mended.labels[i] < 0) p.mended.mend(i / p.n, p.n, i % p.n);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
