// How many points of a span every bucket has, for spans that cannot tell each other.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kCountThreads = 512;

// One block a span; the last one of a group to end adds up the group. Shared memory: [buckets]
// counts.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) count_kernel(counting_params const p) {
  extern __shared__ std::uint32_t bucket_counts[];
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  std::uint32_t const problem = blockIdx.x / p.spans, span = blockIdx.x - problem * p.spans;
  if (p.skips(problem)) return;
  for (std::uint32_t j = threadIdx.x; j < p.buckets; j += Threads) bucket_counts[j] = 0;
  __syncthreads();
  std::uint32_t const begin = span * p.span, end = min(begin + p.span, p.n);
  std::int32_t const* const labels = p.labels + std::int64_t{problem} * p.n;
  constexpr std::uint32_t kNone = 0xffffffffu;
  constexpr int kRead = 8;
  for (std::uint32_t at = begin; at < end; at += kRead * Threads) {
    std::uint32_t bucket[kRead];
#pragma unroll
    for (int r = 0; r < kRead; ++r) {
      std::uint32_t const i = at + r * Threads + threadIdx.x;
      bucket[r] = i < end ? p.bucket(labels[i]) : kNone;
    }
#pragma unroll
    for (int r = 0; r < kRead; ++r) {
      // A crowded bucket would be counted one lane after the other.
      std::uint32_t const leader = __shfl_sync(0xffffffffu, bucket[r], 0);
      std::uint32_t const same = __ballot_sync(0xffffffffu, bucket[r] == leader);
      if (leader != kNone && threadIdx.x % 32 == 0) atomicAdd(bucket_counts + leader, __popc(same));
      if (bucket[r] != leader && bucket[r] != kNone) atomicAdd(bucket_counts + bucket[r], 1);
    }
  }
  __syncthreads();
  std::uint32_t* const counts = p.counts_of(problem, span);
  for (std::uint32_t j = threadIdx.x; j < p.buckets; j += Threads) counts[j] = bucket_counts[j];

  std::uint32_t const group = span / kSpansOfGroup, first = group * kSpansOfGroup;
  std::uint32_t const members = min(kSpansOfGroup, p.spans - first);
  if (!is_last_block(p.counted_spans + problem * p.groups() + group, members)) return;
  std::uint32_t* const group_counts = p.counts_of_group(problem, group);
  std::uint32_t const* const rows = p.counts_of(problem, first);
  for (std::uint32_t j = threadIdx.x; j < p.buckets; j += Threads) {
    std::uint32_t of[kSpansOfGroup], total = 0;
#pragma unroll
    for (std::uint32_t s = 0; s < kSpansOfGroup; ++s) {
      of[s] = s < members ? __ldcg(rows + s * p.buckets + j) : 0;
    }
#pragma unroll
    for (std::uint32_t s = 0; s < kSpansOfGroup; ++s) total += of[s];
    group_counts[j] = total;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
