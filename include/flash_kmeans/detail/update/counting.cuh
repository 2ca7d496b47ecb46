// What the three kernels of the counting sort share. Each problem is cut into tiles of points;
// kernel_count counts the labels of every tile, kernel_scan turns counts into the places where a
// tile's points of a bucket go, kernel_scatter puts them there.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

struct counting_params {
  std::int32_t const* labels;  // [problems][n]
  fit_status const* status;    // [b] or null: problems that have converged keep their order
  std::uint32_t* counts;       // [problems][tiles][buckets], then places relative to the bucket
  std::uint32_t* totals;       // [problems][buckets]
  std::uint32_t* done;         // [problems] blocks of the scan that have ended
  std::uint32_t* offsets;      // [problems][buckets + 1]
  std::uint32_t* order;        // [problems][n]
  cluster_index index;         // of the whole batch, by-products for the caller
  std::uint32_t problems, n, k, buckets;
  std::uint32_t tile;   // points, a multiple of 32
  std::uint32_t tiles;  // of a problem
  std::int64_t first;   // problem of the call that the group begins with

  __device__ bool skips(std::uint32_t problem) const {
    return status != nullptr && status[first + problem].converged != 0;
  }
  __device__ std::uint32_t* counts_of(std::uint32_t problem, std::uint32_t of_tile) const {
    return counts + (std::int64_t{problem} * tiles + of_tile) * buckets;
  }
  __device__ std::uint32_t bucket(std::int32_t label) const {
    return static_cast<std::uint32_t>(label) < k ? label : k;
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
