// Centroids of small clusters that move onto points of crowded ones: what the kernels that choose them
// and those that act on it share.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

struct moved_centroids {
  std::int32_t* counts;  // [b] centroids that move; 0 for problems that have converged
  std::int32_t*
      points;  // [b][k] that they move onto, -1 for those that stay; of problems with moves
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
