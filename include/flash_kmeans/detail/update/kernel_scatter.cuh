// Last step of the counting sort: points go to their places.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "counting.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Lanes of the warp whose `inside` is set and that hold the same value of Bits bits. By votes, since
// __match_any_sync is slow on Hopper.
template <int Bits>
__device__ std::uint32_t lanes_with_same(std::uint32_t value, bool inside) {
  std::uint32_t same = __ballot_sync(0xffffffffu, inside);
#pragma unroll
  for (int bit = 0; bit < Bits; ++bit) {
    bool const set = (value >> bit & 1) != 0;
    std::uint32_t const votes = __ballot_sync(0xffffffffu, set);
    same &= set ? votes : ~votes;
  }
  return same;
}

// One warp a tile: it takes its points in order, 32 at a time, so those of a bucket stay in order.
// Bits: that hold every bucket. Shared memory: [warps][buckets], the next place in order.
template <int Bits>
FLASH_KMEANS_KERNEL void scatter_kernel(counting_params const p) {
  extern __shared__ std::uint32_t next_places[];
  std::uint32_t const warps = blockDim.x / 32, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  std::uint32_t const blocks = (p.tiles + warps - 1) / warps;  // of a problem
  std::uint32_t const problem = blockIdx.x / blocks;
  std::uint32_t const tile = (blockIdx.x - problem * blocks) * warps + warp;
  if (tile >= p.tiles || p.skips(problem)) return;
  std::uint32_t* const next = next_places + warp * p.buckets;
  std::uint32_t const* const places = p.counts_of(problem, tile);
  std::uint32_t const* const offsets = p.offsets + std::int64_t{problem} * (p.buckets + 1);
  constexpr int kRead = 8;
  for (std::uint32_t first = lane; first < p.buckets; first += 32 * kRead) {
    std::uint32_t read[kRead];
#pragma unroll
    for (int r = 0; r < kRead; ++r) {
      std::uint32_t const j = first + r * 32;
      read[r] = j < p.buckets ? offsets[j] + places[j] : 0;
    }
#pragma unroll
    for (int r = 0; r < kRead; ++r) {
      if (first + r * 32 < p.buckets) next[first + r * 32] = read[r];
    }
  }
  __syncwarp();

  constexpr int kRounds = 4;  // read ahead of time
  std::int32_t const* const labels = p.labels + std::int64_t{problem} * p.n;
  std::uint32_t* const order = p.order + std::int64_t{problem} * p.n;
  std::int64_t const base = (p.first + problem) * p.n;
  std::uint32_t const begin = tile * p.tile, end = min(begin + p.tile, p.n);
  std::int32_t label[kRounds];
  auto read = [&](std::uint32_t at) {
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      std::uint32_t const i = at + r * 32 + lane;
      label[r] = i < end ? labels[i] : 0;
    }
  };
  read(begin);
  for (std::uint32_t at = begin; at < end; at += kRounds * 32) {
    std::uint32_t bucket[kRounds], same[kRounds];
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      bucket[r] = p.bucket(label[r]);
      same[r] = lanes_with_same<Bits>(bucket[r], at + r * 32 + lane < end);
    }
    read(at + kRounds * 32);
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      std::uint32_t const i = at + r * 32 + lane, before = __popc(same[r] & ((1u << lane) - 1));
      std::uint32_t const place = next[bucket[r]] + before;
      __syncwarp();
      if (i < end) {
        if (before == 0) next[bucket[r]] = place + __popc(same[r]);
        order[place] = i;
        if (p.index.order != nullptr) p.index.order[base + place] = static_cast<std::int32_t>(i);
        if (p.index.inverse != nullptr) {
          p.index.inverse[base + i] = static_cast<std::int32_t>(place);
        }
      }
      __syncwarp();
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
