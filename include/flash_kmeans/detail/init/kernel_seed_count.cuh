// How many points of every block a round of k-means|| takes.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "seed_round.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedThreads) seed_count_kernel(seed_round<T> const p) {
  for (std::int64_t block = blockIdx.x; block < p.points.count; block += gridDim.x) {
    std::int64_t const b = block / p.points.blocks, j = block - b * p.points.blocks;
    double const total = p.total(b);
    std::int32_t count = 0;
    for (std::int64_t i = threadIdx.x; i < p.points.block; i += kSeedThreads) {
      count += __syncthreads_count(p.takes(b, j * p.points.block + i, total));
    }
    if (threadIdx.x == 0) p.counts[block] = count;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
