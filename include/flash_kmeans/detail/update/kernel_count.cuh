// First step of the counting sort: how many points of a tile every bucket has.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One block a tile. Shared memory: [buckets] counts.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) count_kernel(counting_params const p) {
  extern __shared__ std::uint32_t bucket_counts[];
  std::uint32_t const problem = blockIdx.x / p.tiles, tile = blockIdx.x - problem * p.tiles;
  if (p.skips(problem)) return;
  if (tile == 0 && threadIdx.x == 0) p.done[problem] = 0;
  for (std::uint32_t j = threadIdx.x; j < p.buckets; j += Threads) bucket_counts[j] = 0;
  __syncthreads();
  std::uint32_t const begin = tile * p.tile, end = min(begin + p.tile, p.n);
  std::int32_t const* const labels = p.labels + std::int64_t{problem} * p.n;
  constexpr std::uint32_t kNone = 0xffffffffu;
#pragma unroll 4
  for (std::uint32_t at = begin; at < end; at += Threads) {
    std::uint32_t const i = at + threadIdx.x;
    std::uint32_t const bucket = i < end ? p.bucket(labels[i]) : kNone;
    // A crowded bucket would be counted one lane after the other.
    std::uint32_t const leader = __shfl_sync(0xffffffffu, bucket, 0);
    std::uint32_t const same = __ballot_sync(0xffffffffu, bucket == leader);
    if (leader != kNone && threadIdx.x % 32 == 0) atomicAdd(bucket_counts + leader, __popc(same));
    if (bucket != leader && bucket != kNone) atomicAdd(bucket_counts + bucket, 1);
  }
  __syncthreads();
  std::uint32_t* const counts = p.counts_of(problem, tile);
  for (std::uint32_t j = threadIdx.x; j < p.buckets; j += Threads) counts[j] = bucket_counts[j];
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
