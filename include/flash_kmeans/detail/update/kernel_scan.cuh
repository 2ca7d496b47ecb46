// Second step of the counting sort: where the points of every tile and bucket go.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../reduce.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One block 32 buckets of a problem: lanes stand side by side over buckets, warps share the tiles.
// The last block of a problem to end adds up its buckets.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) scan_kernel(counting_params const p) {
  constexpr int kWarps = Threads / 32;
  __shared__ std::uint32_t parts[kWarps][32];
  __shared__ bool last;
  std::uint32_t const blocks = (p.buckets + 31) / 32;
  std::uint32_t const problem = blockIdx.x / blocks;
  if (p.skips(problem)) return;
  std::uint32_t const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  std::uint32_t const bucket = (blockIdx.x - problem * blocks) * 32 + lane;
  bool const inside = bucket < p.buckets;
  std::uint32_t const tiles = (p.tiles + kWarps - 1) / kWarps;  // of a warp
  std::uint32_t const begin = min(warp * tiles, p.tiles), end = min(begin + tiles, p.tiles);
  std::uint32_t* const counts = p.counts_of(problem, 0) + bucket;

  // Counts of some tiles, read together; zeros beyond the last one.
  constexpr int kRead = 8;
  auto read = [&](std::uint32_t(&of)[kRead], std::uint32_t t) {
#pragma unroll
    for (int i = 0; i < kRead; ++i) {
      of[i] = inside && t + i < end ? counts[std::int64_t{t + i} * p.buckets] : 0;
    }
  };
  std::uint32_t sum = 0;
  for (std::uint32_t t = begin; t < end; t += kRead) {
    std::uint32_t of[kRead];
    read(of, t);
#pragma unroll
    for (int i = 0; i < kRead; ++i) sum += of[i];
  }
  parts[warp][lane] = sum;
  __syncthreads();
  std::uint32_t place = 0, total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    if (w == static_cast<int>(warp)) place = total;
    total += parts[w][lane];
  }
  if (warp == 0 && inside) p.totals[std::int64_t{problem} * p.buckets + bucket] = total;
  for (std::uint32_t t = begin; t < end; t += kRead) {
    std::uint32_t of[kRead];
    read(of, t);
#pragma unroll
    for (int i = 0; i < kRead; ++i) {
      if (inside && t + i < end) counts[std::int64_t{t + i} * p.buckets] = place;
      place += of[i];
    }
  }

  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(p.done + problem, 1) == blocks - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  std::uint32_t* const offsets = p.offsets + std::int64_t{problem} * (p.buckets + 1);
  std::int64_t const b = p.first + problem;
  std::uint32_t before = 0;
  for (std::uint32_t base = 0; base < p.buckets; base += Threads) {
    std::uint32_t const j = base + threadIdx.x;
    std::uint32_t const count =
        j < p.buckets ? __ldcg(p.totals + std::int64_t{problem} * p.buckets + j) : 0;
    std::uint32_t const through = warp_inclusive_sum(count);
    __syncthreads();
    if (lane == 31) parts[0][warp] = through;
    __syncthreads();
    std::uint32_t warps_before = 0, all = 0;
    for (int w = 0; w < kWarps; ++w) {
      if (w == static_cast<int>(warp)) warps_before = all;
      all += parts[0][w];
    }
    std::uint32_t const offset = before + warps_before + through - count;
    if (j < p.buckets) {
      offsets[j] = offset;
      if (p.index.offsets != nullptr && j <= p.k) p.index.offsets[b * (p.k + 1) + j] = offset;
      if (p.index.counts != nullptr && j < p.k) p.index.counts[b * p.k + j] = count;
    }
    before += all;
  }
  if (threadIdx.x == 0) {
    offsets[p.buckets] = p.n;
    if (p.index.offsets != nullptr && p.buckets == p.k) p.index.offsets[b * (p.k + 1) + p.k] = p.n;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
