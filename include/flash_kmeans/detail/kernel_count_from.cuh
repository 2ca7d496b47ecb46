// Labels that count from another number than 0.
#pragma once

#include <cstdint>

#include "config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kCountFromThreads = 256;

struct count_from_params {
  std::int32_t* labels;
  std::int64_t count;
  std::int32_t first;
};

template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) count_from_kernel(count_from_params const p) {
  std::int64_t const threads = std::int64_t{gridDim.x} * Threads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * Threads + threadIdx.x; i < p.count;
       i += threads) {
    p.labels[i] += p.first;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
