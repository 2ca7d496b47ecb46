// How many points of a span every bucket has, for spans that cannot tell each other.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../reduce.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Writes the counts of a span, one block; the last one of a group to end adds up the group, buckets in
// pairs. bucket_counts: shared, [buckets]. By all `threads` of the block.
__device__ inline void write_counts(counting_params const& p, std::uint32_t problem,
                                    std::uint32_t span, std::uint32_t threads,
                                    std::uint32_t const* bucket_counts) {
  __syncthreads();
  std::uint32_t* const counts = p.counts_of(problem, span);
  for (std::uint32_t j = threadIdx.x; j < p.buckets; j += threads) counts[j] = bucket_counts[j];

  std::uint32_t const group = span / kSpansOfGroup, first = group * kSpansOfGroup;
  std::uint32_t const members = min(kSpansOfGroup, p.spans - first);
  if (!is_last_block(p.counted_spans + problem * p.groups() + group, members)) return;
  std::uint32_t* const group_counts = p.counts_of_group(problem, group);
  std::uint32_t const* const rows = p.counts_of(problem, first);
  for (std::uint32_t j = threadIdx.x; j < p.paired(); j += threads) {
    std::uint32_t of[kSpansOfGroup], total = 0;
#pragma unroll
    for (std::uint32_t s = 0; s < kSpansOfGroup; ++s) {
      of[s] = s < members ? __ldcg(rows + s * p.stride + j) : 0;
    }
#pragma unroll
    for (std::uint32_t s = 0; s < kSpansOfGroup; ++s) total += of[s];
    group_counts[j] = total;
  }
}

// One block a span. Points: as in sort_span.cuh. bucket_counts: shared, [buckets]. By all `threads`
// of the block.
template <class Points>
__device__ void count_span(counting_params const& p, Points const& points, std::uint32_t problem,
                           std::uint32_t span, std::uint32_t threads,
                           std::uint32_t* bucket_counts) {
  for (std::uint32_t j = threadIdx.x; j < p.buckets; j += threads) bucket_counts[j] = 0;
  __syncthreads();
  std::uint32_t const begin = span * p.span, end = min(begin + p.span, p.n);
  auto const bucket_of = points.buckets();
  constexpr std::uint32_t kNone = 0xffffffffu;
  constexpr int kRead = 8;
  for (std::uint32_t at = begin; at < end; at += kRead * threads) {
    std::uint32_t bucket[kRead];
#pragma unroll
    for (int r = 0; r < kRead; ++r) {
      std::uint32_t const i = at + r * threads + threadIdx.x;
      bucket[r] = i < end ? bucket_of(i) : kNone;
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
  write_counts(p, problem, span, threads, bucket_counts);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
