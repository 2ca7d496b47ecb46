// Points that are moved to empty clusters: what the kernels that move them and give them back share.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "gaps.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kFarthestThreads = 1024;

template <class Acc>
struct farthest_params {
  Acc const* distances;  // [b][n] to the own centroid, of problems with gaps; NaN: not to be taken
  Acc const* scales;     // [b][n] factors of rows, or null; points with 0 are not taken
  std::int32_t* labels;  // [b][n]
  gap_lists gaps;
  std::int32_t* points;   // [b][k] that were moved, ascending
  std::int32_t* origins;  // [b][k] their labels before
  std::int64_t n, k, first;
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
