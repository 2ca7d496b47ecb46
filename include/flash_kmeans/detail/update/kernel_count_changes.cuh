// Lists what changed in every span of points since the update before, and counts it for
// kernel_sort_changes.cuh.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "changes.cuh"
#include "count_span.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

struct count_changes_params {
  counting_params counting;  // of the entries; labels are those of points
  point_changes changes;
  cluster_sums clusters;
};

// One block a span. Shared memory: [2][buckets] counts of entries, and changes of sizes.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads)
    count_changes_kernel(count_changes_params const params) {
  extern __shared__ std::uint32_t bucket_counts[];
  constexpr int kRounds = 8;  // of 32 points that a warp takes at once
  counting_params const& p = params.counting;
  std::uint32_t* const growth = bucket_counts + p.buckets;
  std::uint32_t const lane = threadIdx.x % 32, warp = threadIdx.x / 32, lower = (1u << lane) - 1;
  for (std::uint32_t j = threadIdx.x; j < 2 * p.buckets; j += Threads) bucket_counts[j] = 0;
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  std::uint32_t const problem = blockIdx.x / p.spans, span = blockIdx.x - problem * p.spans;
  if (p.skips(problem)) return;
  std::int64_t const b = p.first + problem;
  bool const is_first = p.status[b].iterations == 0;
  bool const all_come = params.clusters.begin_anew(p.status, b);
  std::int32_t const* const labels = p.labels + std::int64_t{problem} * p.n;
  std::uint32_t* const before = params.changes.before + b * p.n;
  std::uint32_t const at_span = problem * p.spans + span;
  change_entry* const entries = params.changes.entries + std::int64_t{at_span} * 2 * p.span;
  std::uint32_t const begin = p.span_begin(span), end = p.span_end(span);
  __syncthreads();

  std::uint32_t length = 0;
  for (std::uint32_t at = begin; at < end; at += kRounds * Threads) {
    // Every warp as many rounds.
    std::uint32_t const rounds =
        min(ceil_div(end - at, std::uint32_t{Threads}), std::uint32_t{kRounds});
    std::uint32_t const from = at + warp * rounds * 32 + lane;
    std::uint32_t now[kRounds], old[kRounds];
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      std::uint32_t const i = from + r * 32;
      bool const inside = r < rounds && i < end;
      now[r] = inside ? p.bucket(labels[i]) : p.k;
      old[r] = inside && !is_first ? before[i] : p.k;
      if (inside && (is_first || now[r] != old[r])) before[i] = now[r];
    }
    std::uint32_t leaving[kRounds], coming[kRounds], own = 0;  // lanes, entries of the warp
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      bool const moved = now[r] != old[r];
      bool const leaves = moved && old[r] < p.k, comes = moved && now[r] < p.k;
      if (leaves) atomicSub(growth + old[r], 1);
      if (comes) atomicAdd(growth + now[r], 1);
      bool const is_listed = all_come ? now[r] < p.k : comes;
      if (leaves && !all_come) atomicAdd(bucket_counts + old[r], 1);
      if (is_listed) atomicAdd(bucket_counts + now[r], 1);
      leaving[r] = __ballot_sync(0xffffffffu, leaves && !all_come);
      coming[r] = __ballot_sync(0xffffffffu, is_listed);
      own += __popc(leaving[r]) + __popc(coming[r]);
    }
    std::uint32_t all;
    std::uint32_t const start = block_exclusive_sum(lane == 0 ? own : 0, all);
    std::uint32_t place = length + __shfl_sync(0xffffffffu, start, 0);
    length += all;
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      std::uint32_t to = place + __popc(leaving[r] & lower) + __popc(coming[r] & lower);
      std::uint32_t const in_span = from + r * 32 - begin;
      if (leaving[r] >> lane & 1) entries[to++] = change_entry::of(old[r], true, in_span);
      if (coming[r] >> lane & 1) entries[to] = change_entry::of(now[r], false, in_span);
      place += __popc(leaving[r]) + __popc(coming[r]);
    }
  }
  if (threadIdx.x == 0) params.changes.lengths[at_span] = length;
  write_counts(p, problem, span, Threads, bucket_counts);
  for (std::uint32_t j = threadIdx.x; j < p.k; j += Threads) {
    if (growth[j] != 0) atomicAdd(params.clusters.sizes + b * p.k + j, growth[j]);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
