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

  // Position of the first key of a problem that is not below `key`; the problem's end if there is
  // none.
  __device__ std::uint32_t lower_bound(std::uint32_t problem, std::uint32_t key) const {
    std::uint32_t low = problem * n, length = n;
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

// The sorted points of every problem are cut into chunks, so that a problem is summed in the same
// pieces whatever else is in its batch.
struct chunking {
  std::uint32_t chunk;        // sorted points of one chunk; a problem's last one may be shorter
  std::uint32_t per_problem;  // chunks
  std::uint32_t fold;         // chunks that kernel_fold.cuh takes together

  __host__ __device__ std::uint32_t runs_per_problem() const { return per_problem / fold; }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
