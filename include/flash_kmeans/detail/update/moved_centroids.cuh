// Centroids of small clusters that move to parts of crowded ones: what the kernel that chooses them and
// the one that changes labels share.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Cluster j is cut into 1 + dealt[j] - dealt[j - 1] parts and keeps the first. The others are given to
// clusters[dealt[j - 1]] and so on. All but the counts are of problems with moves only.
struct moved_centroids {
  std::int32_t* counts;  // [b] centroids that move; 0 for problems that have converged
  std::uint32_t* dealt;  // [b][k] parts given by clusters up to this one
  std::int32_t*
      clusters;         // [b][k] that parts are given to, or -1: a part stays, as it weighs nothing
  std::uint8_t* moves;  // [b][k] 1 where the centroid moves, else 0
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
