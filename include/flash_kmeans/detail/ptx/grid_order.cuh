// Programmatic dependent launch: a grid may start before the one before it in the stream has ended
// (sm_90). Elsewhere grids run one after the other and there is nothing to say.
#pragma once

#include "../config.cuh"

namespace flash_kmeans::detail::ptx {
inline namespace FLASH_KMEANS_ABI {

// Lets the next grid start once every block of this one has said so or ended, if its launch allows
// it. What this grid still writes is visible there only after wait_for_grid_before.
__device__ inline void let_next_grid_start() {
#if FLASH_KMEANS_HAS_CLUSTERS
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Waits until the grid before this one has ended and what it wrote is visible.
__device__ inline void wait_for_grid_before() {
#if FLASH_KMEANS_HAS_CLUSTERS
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail::ptx
