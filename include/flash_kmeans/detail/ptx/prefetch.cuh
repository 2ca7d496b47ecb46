// Reads ahead into the L2 cache.
#pragma once

#include "../config.cuh"

namespace flash_kmeans::detail::ptx {
inline namespace FLASH_KMEANS_ABI {

// The 128 bytes around an address of global memory.
__device__ inline void prefetch_l2(void const* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(address)));
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail::ptx
