// Points of a group of problems, sorted by (problem, cluster): what the update's kernels read.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// A group is as many problems as 32-bit positions and keys allow; usually it is the whole batch.
// Problem g of the group is problem `first` + g of the call and owns positions [g n, (g + 1) n).
// Its key for cluster j is g * buckets + j; bucket k, where there is one, holds the points whose
// label is outside [0, k), which count nowhere.
struct sorted_points {
  std::uint32_t const* keys;   // [count] ascending
  std::uint32_t const* order;  // [count] g * n + point, stable
  std::uint32_t count;         // problems * n
  std::uint32_t n;
  std::uint32_t k;
  std::uint32_t buckets;  // k or k + 1
  std::int64_t first;

  // Position of the first key that is not below `key`.
  __device__ std::uint32_t lower_bound(std::uint32_t key) const {
    std::uint32_t low = 0, length = count;
    while (length > 0) {
      std::uint32_t const half = length / 2;
      if (keys[low + half] < key) {
        low += half + 1;
        length -= half + 1;
      } else {
        length = half;
      }
    }
    return low;
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
