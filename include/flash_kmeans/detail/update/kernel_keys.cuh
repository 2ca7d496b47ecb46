// Sort keys and identity order of a group of problems, from its labels.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kKeysThreads = 256;

struct keys_params {
  std::int32_t const* labels;  // [problems][n]
  std::uint32_t* keys;         // [count]
  std::uint32_t* order;        // [count]
  std::uint32_t count, n, k, buckets;
};

template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) keys_kernel(keys_params const p) {
  std::uint32_t const i = blockIdx.x * Threads + threadIdx.x;
  if (i >= p.count) return;
  std::uint32_t const label = static_cast<std::uint32_t>(p.labels[i]);
  p.keys[i] = i / p.n * p.buckets + (label < p.k ? label : p.k);
  p.order[i] = i;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
