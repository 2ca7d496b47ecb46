// Settles which clusters are split to fill empty ones: always the one with most points, of equally
// large ones the first, which keeps the larger half.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "gaps.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSplitThreads = 1024;

struct split_params {
  sorted_points sorted;
  gap_lists gaps;
  std::int32_t* counts;   // [b][k], scratch
  split_cluster* splits;  // [b][k]
};

// One block a problem, whose threads have every kSplitThreads-th cluster.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) split_kernel(split_params const p) {
  __shared__ std::uint64_t warp_largest[32];
  sorted_points const& s = p.sorted;
  std::int64_t const b = s.first + blockIdx.x;
  std::uint32_t const* const offsets = s.offsets_of(blockIdx.x);
  std::int32_t* const counts = p.counts + b * s.k;
  split_cluster* const splits = p.splits + b * s.k;
  for (std::uint32_t j = threadIdx.x; j < s.k; j += Threads) {
    counts[j] = static_cast<std::int32_t>(offsets[j + 1] - offsets[j]);
    splits[j] = {static_cast<std::int32_t>(j), 0, 0};
  }
  __syncthreads();
  auto const gaps = static_cast<std::uint32_t>(p.gaps.counts[b]);
  std::int32_t const* const list = p.gaps.clusters + b * s.k;
  for (std::uint32_t g = threadIdx.x; g < gaps; g += Threads) counts[list[g]] = 0;
  __syncthreads();

  // Larger for more points, then for the lower index.
  auto const largest_own = [&] {
    std::uint64_t largest = 0;
    for (std::uint32_t j = threadIdx.x; j < s.k; j += Threads) {
      std::uint64_t const key =
          std::uint64_t{static_cast<std::uint32_t>(counts[j])} << 32 | (0xffffffffu - j);
      largest = key > largest ? key : largest;
    }
    return largest;
  };
  std::uint64_t own = largest_own();
  for (std::uint32_t g = 0; g < gaps; ++g) {
    std::uint64_t largest = own;
    for (int step = 16; step > 0; step /= 2) {
      std::uint64_t const other = __shfl_xor_sync(0xffffffffu, largest, step);
      largest = other > largest ? other : largest;
    }
    if (threadIdx.x % 32 == 0) warp_largest[threadIdx.x / 32] = largest;
    __syncthreads();
    for (int w = 0; w < Threads / 32; ++w) {
      largest = warp_largest[w] > largest ? warp_largest[w] : largest;
    }
    auto const count = static_cast<std::int32_t>(largest >> 32);
    if (count < 2) break;
    auto const from = static_cast<std::int32_t>(0xffffffffu - static_cast<std::uint32_t>(largest));
    std::int32_t const to = list[g], half = count / 2;
    if (threadIdx.x == 0) {
      splits[to] = {splits[from].root, splits[from].taken + 1, splits[from].given};
      ++splits[from].given;
    }
    bool const has_from = static_cast<std::int32_t>(threadIdx.x) == from % Threads;
    bool const has_to = static_cast<std::int32_t>(threadIdx.x) == to % Threads;
    if (has_from) counts[from] = count - half;
    if (has_to) counts[to] = half;
    if (has_from || has_to) own = largest_own();
    __syncthreads();
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
