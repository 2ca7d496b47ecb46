// What GPU and CPU share of k-means++ and k-means||: how many points are drawn, with which random
// numbers, and what distance they are drawn by.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "host/abi.hpp"
#include "math.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI_HOST {

// Candidates of a step of k-means++.
inline constexpr std::int32_t kMostCandidates = 64;

// Up to so many candidates are drawn for two centroids at a time, so that one pass over the points
// can serve both: an odd step draws its own and, by the same potentials, proposals for the step after it. When that
// comes, a proposal whose distance has shrunk from D to D' since is kept with probability D' / D, and
// drawn again by the new potentials if not. Either way it is a draw by the new potentials: with P and
// P' the potentials of all points and w D, w D' those of this one, w D / P x D' / D +
// (1 - P' / P) x w D' / P' = w D' / P'.
inline constexpr std::int32_t kMostPaired = 8;

FLASH_KMEANS_HOST_DEVICE constexpr bool proposes(std::int64_t step, std::int64_t k,
                                                 std::int32_t candidates) {
  return candidates <= kMostPaired && step % 2 == 1 && step + 1 < k;
}

// options.candidates, or as many as scikit-learn draws where steps can be paired.
inline std::int32_t seed_candidates(int asked, std::int64_t k) {
  if (asked > 0) return asked;
  return std::min(2 + static_cast<std::int32_t>(std::log(static_cast<double>(k))), kMostPaired);
}

// What a candidate is drawn with.
enum class seed_draw : std::uint64_t {
  first,  // the draw, or that of the proposal
  kept,   // whether a proposal is kept
  again   // the draw where it is not
};

// Counter of such a number for centroid `step`; the first centroid has one candidate.
FLASH_KMEANS_HOST_DEVICE constexpr std::uint64_t draw_counter(std::int64_t step,
                                                              std::int32_t candidate,
                                                              seed_draw what = seed_draw::first) {
  return static_cast<std::uint64_t>(step * kMostCandidates + candidate) +
         (static_cast<std::uint64_t>(what) << 40);
}

// Whether a proposal is kept: by its draw, and its distance to the nearest centroid then and now.
FLASH_KMEANS_HOST_DEVICE constexpr bool is_kept(double unit, double before, double now) {
  return unit * before < now;
}

// Rounds of k-means|| that take points.
inline constexpr int kSeedRounds = 5;

// Points that a round may take, at most: k are expected.
inline std::int64_t round_capacity(std::int64_t n, std::int64_t k) {
  return std::min(n, k + k / 2 + 64);
}

// Points among which k-means|| chooses its centroids, at most: the first one and the rounds'.
inline std::int64_t most_taken(std::int64_t n, std::int64_t k) {
  return 1 + kSeedRounds * round_capacity(n, k);
}

// What a round draws with; the number after the last round is that of the choice among the taken.
FLASH_KMEANS_HOST_DEVICE constexpr std::uint64_t round_key(std::uint64_t key, int round) {
  return mix64(key ^ static_cast<std::uint64_t>(round + 1));
}

// Whether a round takes a point, by its draw.
FLASH_KMEANS_HOST_DEVICE constexpr bool is_taken(double unit, std::int64_t k, double potential,
                                                 double total) {
  return potential > 0 && unit < static_cast<double>(k) * potential / total;
}

// A point with distance 0 or a distance that is not finite is not drawn.
template <class C>
FLASH_KMEANS_HOST_DEVICE constexpr double seed_potential(C weight, C distance) {
  return distance > 0 && distance - distance == 0
             ? static_cast<double>(weight) * static_cast<double>(distance)
             : 0.0;
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail
