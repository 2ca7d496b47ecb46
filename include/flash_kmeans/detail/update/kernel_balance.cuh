// Finds the clusters of every problem that are larger than they may be, the smallest ones whose
// centroids can be spared, and the points that these move onto.
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
  Acc const* scales;        // [b][n] factors of rows, or null; points with 0 move no centroid
  convergence_state state;  // problems that have converged stay as they are
  double* thresholds;    // [b] as in state, but for problems with moves one that no shift is within
  std::uint32_t* asked;  // [b][k], scratch: centroids that clusters up to this one ask for
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
  std::uint32_t* const asked = p.asked + b * s.k;
  std::int32_t* const points = p.moves.points + b * s.k;
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

  // Spare are clusters of fewer points than `most`, and the first `wanted` of those with as many.
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
  std::uint32_t const equals = wanted;

  // The point that spare centroid number i moves onto, or -1.
  auto const point_of = [&](std::uint32_t i) {
    // The first who asks and whose share reaches beyond i: asked x spare / all_asked > i.
    std::int64_t const reach = ceil_div<std::int64_t>((std::int64_t{i} + 1) * all_asked, spare);
    std::uint32_t const j = lower_bound(asked, s.k, static_cast<std::uint32_t>(reach));
    std::int64_t const first = j == 0 ? 0 : dealt_centroids(asked[j - 1], all_asked, spare);
    std::int64_t const count = dealt_centroids(asked[j], all_asked, spare) - first;
    std::uint32_t const point = order[offsets[j] + given_place(i - first, count, size(j))];
    bool const counts = p.scales == nullptr || p.scales[b * s.n + point] > 0;
    return counts ? static_cast<std::int32_t>(point) : -1;
  };
  std::uint32_t found = 0, seen = 0, own_moves = 0, all_moves;
  for (std::uint32_t first = 0; first < s.k; first += kBalanceThreads) {
    std::uint32_t const j = first + threadIdx.x;
    std::int64_t const own = j < s.k ? size(j) : largest;
    bool const can = can_be_spared(own, largest);
    bool const equal = can && own == most;
    std::uint32_t all_equal, all;
    std::uint32_t const before = seen + block_exclusive_sum(equal ? 1 : 0, all_equal);
    bool const take = (can && own < most) || (equal && before < equals);
    std::uint32_t const at = found + block_exclusive_sum(take ? 1 : 0, all);
    std::int32_t const point = take ? point_of(at) : -1;
    if (j < s.k) points[j] = point;
    own_moves += point >= 0 ? 1 : 0;
    found += all;
    seen += all_equal;
  }
  block_exclusive_sum(own_moves, all_moves);
  if (threadIdx.x == 0 && all_moves > 0) {
    p.moves.counts[b] = static_cast<std::int32_t>(all_moves);
    p.thresholds[b] = -1;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
