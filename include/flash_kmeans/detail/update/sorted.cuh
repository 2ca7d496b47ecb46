// Points of a group of problems, sorted by cluster: what the update's kernels read.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// A group is as many problems as 32-bit positions allow; usually it is the whole batch. Problem g
// of the group is problem `first` + g of the call. Bucket j holds the points of cluster j; bucket
// k, where there is one, those whose label is outside [0, k), which count nowhere.
struct sorted_points {
  std::uint32_t const* order;    // [problems][n] points, ascending inside a bucket
  std::uint32_t step;            // how much further a problem's points are counted than the last's
  std::uint32_t const* offsets;  // [problems][buckets + 1] where buckets begin in order; the last
                                 // one is n
  std::uint32_t n;
  std::uint32_t k;
  std::uint32_t buckets;  // k or k + 1
  std::int64_t first;

  __device__ std::uint32_t const* order_of(std::uint32_t problem) const {
    return order + std::int64_t{problem} * n;
  }
  __device__ std::uint32_t const* offsets_of(std::uint32_t problem) const {
    return offsets + std::int64_t{problem} * (buckets + 1);
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
