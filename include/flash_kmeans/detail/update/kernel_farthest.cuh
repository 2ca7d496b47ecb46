// Moves the points that are farthest from their centroids to empty clusters, by their labels: the
// farthest one to the first cluster, of equally far ones the first.
//
// The distance that as many points reach as there are gaps is found digit by digit; the points that
// reach it are listed and ranked.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../reduce.cuh"
#include "moved_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One block a problem.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kFarthestThreads)
    farthest_kernel(farthest_params<Acc> const p) {
  constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;
  __shared__ std::uint32_t counts[kDigits];
  __shared__ std::uint64_t threshold;
  __shared__ std::uint32_t wanted;
  std::int64_t const b = p.first + blockIdx.x;
  if (p.gaps.counts[b] == 0) return;
  std::int32_t* const labels = p.labels + b * p.n;
  std::int32_t* const points = p.points + b * p.k;
  // Ascending with the distance; 0 for what is not taken.
  auto const key_of = [&](std::int64_t i) -> std::uint64_t {
    double const distance = p.distances[b * p.n + i];
    bool const counts_at_all = p.scales == nullptr || p.scales[b * p.n + i] > 0;
    if (labels[i] < 0 || !counts_at_all || distance != distance) return 0;
    auto const bits = static_cast<std::uint64_t>(__double_as_longlong(distance));
    constexpr std::uint64_t kSign = std::uint64_t{1} << 63;
    return (bits & kSign) != 0 ? ~bits : bits | kSign;
  };

  // Keys from `threshold` on are at least as many as there are gaps, and fewer if it were higher.
  if (threadIdx.x == 0) {
    threshold = 0;
    wanted = static_cast<std::uint32_t>(p.gaps.counts[b]);
  }
  for (int shift = 64 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    for (int i = threadIdx.x; i < kDigits; i += kFarthestThreads) counts[i] = 0;
    __syncthreads();
    std::uint64_t const above = threshold;
    for (std::int64_t first = 0; first < p.n; first += kFarthestThreads) {
      std::int64_t const i = first + threadIdx.x;
      std::uint64_t const key = i < p.n ? key_of(i) : 0;
      bool const same =
          shift == 64 - kDigitBits || key >> (shift + kDigitBits) == above >> (shift + kDigitBits);
      constexpr std::uint32_t kNone = 0xffffffffu;
      std::uint32_t const digit =
          key != 0 && same ? static_cast<std::uint32_t>(key >> shift) & (kDigits - 1) : kNone;
      // Most are alike in the first digits and would be counted one after the other.
      std::uint32_t const leader = __shfl_sync(0xffffffffu, digit, 0);
      std::uint32_t const alike = __ballot_sync(0xffffffffu, digit == leader);
      if (leader != kNone && threadIdx.x % 32 == 0) atomicAdd(counts + leader, __popc(alike));
      if (digit != leader && digit != kNone) atomicAdd(counts + digit, 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = kDigits - 1;
      for (; digit > 0 && counts[digit] < wanted; --digit) wanted -= counts[digit];
      threshold = above | static_cast<std::uint64_t>(digit) << shift;
    }
    __syncthreads();
  }
  // Keys above the threshold, and the first `wanted` of those that equal it.
  std::uint32_t const equals = wanted;
  std::uint32_t taken = 0, seen = 0;
  for (std::int64_t first = 0; first < p.n; first += kFarthestThreads) {
    std::int64_t const i = first + threadIdx.x;
    std::uint64_t const key = i < p.n ? key_of(i) : 0;
    bool const equal = key != 0 && key == threshold;
    std::uint32_t all_equal, all;
    std::uint32_t const before = seen + block_exclusive_sum(equal ? 1 : 0, all_equal);
    bool const take = (key != 0 && key > threshold) || (equal && before < equals);
    std::uint32_t const at = taken + block_exclusive_sum(take ? 1 : 0, all);
    if (take) points[at] = static_cast<std::int32_t>(i);
    taken += all;
    seen += all_equal;
  }
  __syncthreads();
  // Ranks are known before a label changes.
  std::int32_t* const origins = p.origins + b * p.k;
  for (std::uint32_t t = threadIdx.x; t < taken; t += kFarthestThreads) {
    std::uint64_t const own = key_of(points[t]);
    std::uint32_t rank = 0;
    for (std::uint32_t o = 0; o < taken; ++o) {
      std::uint64_t const other = key_of(points[o]);
      rank += other > own || (other == own && o < t) ? 1 : 0;
    }
    origins[t] = p.gaps.clusters[b * p.k + rank];
  }
  __syncthreads();
  for (std::uint32_t t = threadIdx.x; t < taken; t += kFarthestThreads) {
    std::int32_t const to = origins[t];
    origins[t] = labels[points[t]];
    labels[points[t]] = to;
  }
  // Gaps that were filled: no more is left to do for others.
  if (threadIdx.x == 0) p.gaps.counts[b] = static_cast<std::int32_t>(taken);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
