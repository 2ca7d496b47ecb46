// Blocks of a cluster (sm_90). Elsewhere a cluster is one block.
#pragma once

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail::ptx {
inline namespace FLASH_KMEANS_ABI {

// Barrier of all threads of the cluster; what they wrote before is visible after it.
__device__ inline void cluster_sync() {
#if FLASH_KMEANS_HAS_CLUSTERS
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
#else
  asm volatile("bar.sync 0;" ::: "memory");
#endif
}

__device__ inline std::uint32_t cluster_rank() {
  std::uint32_t rank = 0;
#if FLASH_KMEANS_HAS_CLUSTERS
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return rank;
}

// What `shared`, an address in this block's shared memory, is in that of another block of the
// cluster, which must have started and not ended.
template <class T>
__device__ T* of_block(std::uint32_t rank, T* shared) {
#if FLASH_KMEANS_HAS_CLUSTERS
  std::uint64_t address;
  asm("mapa.u64 %0, %1, %2;" : "=l"(address) : "l"(shared), "r"(rank));
  return reinterpret_cast<T*>(address);
#else
  return shared;
#endif
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail::ptx
