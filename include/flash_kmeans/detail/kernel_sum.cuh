// Sums of doubles, one per problem, in a fixed order: one block a problem.
#pragma once

#include <cstdint>

#include "config.cuh"
#include "reduce.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSumThreads = 256;

struct sum_params {
  double const* values;  // [b][count]
  std::int64_t count;
  double* sums;  // [b], `stride` doubles apart
  std::int64_t stride;
  std::int64_t b;
};

template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) sum_kernel(sum_params const p) {
  for (std::int64_t b = blockIdx.x; b < p.b; b += gridDim.x) {
    double const total = block_strided_sum(p.values + b * p.count, p.count);
    if (threadIdx.x == 0) p.sums[b * p.stride] = total;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
