// Writes the points that a round of k-means|| takes, in ascending order, up to its capacity.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../reduce.cuh"
#include "seed_round.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedThreads) seed_take_kernel(seed_round<T> const p) {
  __shared__ std::int64_t first;
  for (std::int64_t block = blockIdx.x; block < p.points.count; block += gridDim.x) {
    std::int64_t const b = block / p.points.blocks, j = block - b * p.points.blocks;
    double const total = p.total(b);
    double before = 0;  // whole numbers, so exact
    for (std::int64_t i = threadIdx.x; i < j; i += kSeedThreads) {
      before += p.counts[b * p.points.blocks + i];
    }
    before = block_sum(before);
    if (threadIdx.x == 0) first = static_cast<std::int64_t>(before);
    __syncthreads();
    std::int64_t position = first;
    std::int64_t const begin = p.taken.end(b, p.round);
    for (std::int64_t i = threadIdx.x; i < p.points.block; i += kSeedThreads) {
      std::int64_t const point = j * p.points.block + i;
      bool const takes = p.takes(b, point, total);
      std::uint32_t all = 0;
      std::int64_t const own = position + block_exclusive_sum(takes, all);
      if (takes && own < p.capacity) {
        p.taken.points[b * p.taken.most + begin + own] = static_cast<std::int32_t>(point);
      }
      position += all;
    }
    if (j + 1 == p.points.blocks && threadIdx.x == 0) {
      auto const end =
          static_cast<std::int32_t>(begin + (position < p.capacity ? position : p.capacity));
      p.taken.ends[b * (1 + kSeedRounds) + p.round + 1] = end;
      p.taken.used[b] = end;
    }
    __syncthreads();  // all have read where the block's points begin
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
