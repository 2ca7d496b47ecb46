// Finds the clusters of every problem that are larger than they may be, the smallest ones whose
// centroids can be spared, and the parts of the former that the latter are given.
//
// The size up to which centroids are spared is found digit by digit. Clusters that ask are not listed:
// who gets a spare centroid is looked up in the sums of what clusters up to each one ask for.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../balance.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../lower_bound.cuh"
#include "../reduce.cuh"
#include "moved_centroids.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kBalanceThreads = 1024;

template <class Acc>
struct balance_params {
  sorted_points sorted;
  Acc const* scales;        // [b][n] factors of rows, or null; parts of nothing but 0 are not given
  convergence_state state;  // problems that have converged stay as they are
  double* thresholds;  // [b] as in state, but for problems with moves one that no shift is within
  moved_centroids moves;
  double ratio;
};

// One block a problem.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kBalanceThreads)
    balance_kernel(balance_params<Acc> const p) {
  constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;
  __shared__ std::uint32_t clusters[kDigits];  // that can be spared, by a digit of their size
  __shared__ std::uint32_t most;
  __shared__ std::uint32_t wanted;
  sorted_points const& s = p.sorted;
  std::int64_t const b = s.first + blockIdx.x;
  if (has_converged(p.state.status, b)) {
    if (threadIdx.x == 0) p.moves.counts[b] = 0;
    return;
  }
  std::uint32_t const* const offsets = s.offsets_of(blockIdx.x);
  std::uint32_t const* const order = s.order_of(blockIdx.x);
  std::uint32_t* const asked = p.moves.dealt + b * s.k;  // by clusters up to each one, at first
  auto const size = [&](std::uint32_t j) { return std::int64_t{offsets[j + 1] - offsets[j]}; };
  std::int64_t const largest = largest_size(p.ratio, offsets[s.k], s.k);

  std::uint32_t all_asked = 0, own_spare = 0, spare;
  for (std::uint32_t first = 0; first < s.k; first += kBalanceThreads) {
    std::uint32_t const j = first + threadIdx.x;
    auto const own = j < s.k ? static_cast<std::uint32_t>(asked_centroids(size(j), largest)) : 0;
    std::uint32_t all;
    std::uint32_t const before = all_asked + block_exclusive_sum(own, all);
    if (j < s.k) {
      asked[j] = before + own;
      own_spare += can_be_spared(size(j), largest) ? 1 : 0;
    }
    all_asked += all;
  }
  block_exclusive_sum(own_spare, spare);
  if (threadIdx.x == 0) {
    p.moves.counts[b] = 0;
    p.thresholds[b] = p.state.thresholds[b];
  }
  spare = min(spare, all_asked);
  if (spare == 0) return;

  // Spare are clusters of fewer points than `most`, and the first `wanted` of those with as many, in
  // the order of first_spared.
  if (threadIdx.x == 0) {
    most = 0;
    wanted = spare;
  }
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    if (largest / 2 >> shift == 0) continue;  // as it is for all of them
    for (int i = threadIdx.x; i < kDigits; i += kBalanceThreads) clusters[i] = 0;
    __syncthreads();
    std::int64_t const above = most;
    for (std::uint32_t j = threadIdx.x; j < s.k; j += kBalanceThreads) {
      std::int64_t const own = size(j);
      bool const same = (own ^ above) >> (shift + kDigitBits) == 0;
      if (same && can_be_spared(own, largest)) {
        atomicAdd(clusters + (own >> shift & (kDigits - 1)), 1);
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      std::uint32_t digit = 0;
      for (; digit + 1 < kDigits && clusters[digit] < wanted; ++digit) wanted -= clusters[digit];
      most |= digit << shift;
    }
    __syncthreads();
  }
  __syncthreads();
  auto const is_equal = [&](std::uint32_t j) {
    return j < s.k && size(j) == most && can_be_spared(most, largest);
  };
  auto const start = static_cast<std::uint32_t>(first_spared(p.state.status[b].iterations, s.k));
  std::uint32_t own_before = 0, own_after = 0, before_start, from_start;
  for (std::uint32_t j = threadIdx.x; j < s.k; j += kBalanceThreads) {
    if (is_equal(j)) ++(j < start ? own_before : own_after);
  }
  block_exclusive_sum(own_before, before_start);
  block_exclusive_sum(own_after, from_start);

  // Whether the part that spare centroid number i is given weighs something.
  auto const weighs_something = [&](std::uint32_t i) {
    if (p.scales == nullptr) return true;
    // The first who asks and whose share reaches beyond i: asked x spare / all_asked > i.
    std::int64_t const reach = ceil_div<std::int64_t>((std::int64_t{i} + 1) * all_asked, spare);
    std::uint32_t const j = lower_bound(asked, s.k, static_cast<std::uint32_t>(reach));
    std::int64_t const first = j == 0 ? 0 : dealt_centroids(asked[j - 1], all_asked, spare);
    std::int64_t const parts = dealt_centroids(asked[j], all_asked, spare) - first + 1;
    std::int64_t at = part_begin(i - first + 1, parts, size(j));
    std::int64_t const end = part_begin(i - first + 2, parts, size(j));
    while (at < end && !(p.scales[b * s.n + order[offsets[j] + at]] > 0)) ++at;
    return at < end;
  };
  std::uint32_t found = 0, seen = 0, own_moves = 0, all_moves;
  for (std::uint32_t first = 0; first < s.k; first += kBalanceThreads) {
    std::uint32_t const j = first + threadIdx.x;
    std::int64_t const own = j < s.k ? size(j) : largest;
    bool const can = can_be_spared(own, largest);
    bool const equal = is_equal(j);
    std::uint32_t all_equal, all;
    std::uint32_t const before = seen + block_exclusive_sum(equal ? 1 : 0, all_equal);
    std::uint32_t const place = j < start ? before + from_start : before - before_start;
    bool const take = (can && own < most) || (equal && place < wanted);
    std::uint32_t const at = found + block_exclusive_sum(take ? 1 : 0, all);
    bool const moves = take && weighs_something(at);
    if (take) p.moves.clusters[b * s.k + at] = moves ? static_cast<std::int32_t>(j) : -1;
    if (j < s.k) p.moves.moves[b * s.k + j] = moves ? 1 : 0;
    own_moves += moves ? 1 : 0;
    found += all;
    seen += all_equal;
  }
  block_exclusive_sum(own_moves, all_moves);
  for (std::uint32_t j = threadIdx.x; j < s.k; j += kBalanceThreads) {
    asked[j] = static_cast<std::uint32_t>(dealt_centroids(asked[j], all_asked, spare));
  }
  if (threadIdx.x == 0 && all_moves > 0) {
    p.moves.counts[b] = static_cast<std::int32_t>(all_moves);
    p.thresholds[b] = -1;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
