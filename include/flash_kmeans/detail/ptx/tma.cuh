// Copies by the tensor memory accelerator (sm_90).
#pragma once

#include <cuda.h>

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail::ptx {
inline namespace FLASH_KMEANS_ABI {

#if FLASH_KMEANS_HAS_WGMMA

__device__ inline void tma_prefetch_map(CUtensorMap const* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

// A box of a tensor of rank 4 into shared memory; what lies outside the tensor arrives as zeros.
// The box's bytes complete on the barrier.
__device__ inline void tma_load(std::uint32_t shared, CUtensorMap const* map, std::int32_t at0,
                                std::int32_t at1, std::int32_t at2, std::int32_t at3,
                                std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(shared),
      "l"(map), "r"(at0), "r"(at1), "r"(at2), "r"(at3), "r"(barrier)
      : "memory");
}

// The same box to the same places, barrier included, in every block of the cluster whose bit is
// set.
__device__ inline void tma_load_multicast(std::uint32_t shared, CUtensorMap const* map,
                                          std::int32_t at0, std::int32_t at1, std::int32_t at2,
                                          std::int32_t at3, std::uint32_t barrier,
                                          std::uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3, %4, %5}], [%6], %7;" ::"r"(shared),
      "l"(map), "r"(at0), "r"(at1), "r"(at2), "r"(at3), "r"(barrier), "h"(blocks)
      : "memory");
}

// Contiguous bytes, a multiple of 16, both addresses 16-byte aligned.
__device__ inline void bulk_load(std::uint32_t shared, void const* global, std::uint32_t bytes,
                                 std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared),
      "l"(global), "r"(bytes), "r"(barrier)
      : "memory");
}

#endif

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail::ptx
