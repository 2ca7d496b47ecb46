// Search in ascending values.
#pragma once

#include <cstdint>

#include "config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Place of the first of n ascending values that is not below `value`.
__device__ inline std::uint32_t lower_bound(std::uint32_t const* values, std::uint32_t n,
                                            std::uint32_t value) {
  std::uint32_t low = 0;
  while (n > 0) {
    std::uint32_t const half = n / 2;
    if (values[low + half] < value) {
      low += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return low;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
