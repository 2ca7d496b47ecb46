// What GPU and CPU share of fit_options::max_size_ratio: which clusters are crowded, and which are so
// small that their centroids can be spared.
#pragma once

#include <cstdint>

#include "host/abi.hpp"
#include "math.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI_HOST {

// The ratio that k clusters are kept to, or 0 where none can exceed it.
inline double binding_ratio(double max_size_ratio, std::int64_t k) {
  return max_size_ratio < static_cast<double>(k) ? max_size_ratio : 0;
}

// Points that a cluster may have, of so many points in k clusters.
FLASH_KMEANS_HOST_DEVICE constexpr std::int64_t largest_size(double ratio, std::int64_t points,
                                                             std::int64_t k) {
  double const size = ratio * static_cast<double>(points) / static_cast<double>(k);
  return size < 1 ? 1 : static_cast<std::int64_t>(size);
}

// Centroids that a crowded cluster asks for, so that as many clusters of the largest size hold its
// points; 0 of others.
FLASH_KMEANS_HOST_DEVICE constexpr std::int64_t asked_centroids(std::int64_t points,
                                                                std::int64_t largest) {
  return points > largest ? (points - 1) / largest : 0;
}

// Whether a cluster is so small that its centroid may move elsewhere.
FLASH_KMEANS_HOST_DEVICE constexpr bool can_be_spared(std::int64_t points, std::int64_t largest) {
  return 2 * points <= largest;
}

// The cluster from which on, and then from 0, those are spared first that are equally small. Another
// one in every update: a centroid that comes back to where it was must not be the next one again.
FLASH_KMEANS_HOST_DEVICE constexpr std::int64_t first_spared(std::int64_t updates, std::int64_t k) {
  return static_cast<std::int64_t>(mix64(static_cast<std::uint64_t>(updates)) %
                                   static_cast<std::uint64_t>(k));
}

// Spare centroids that go to the first clusters, which ask for `asked` of `all_asked`: all that they
// ask for, or their share where there are fewer.
FLASH_KMEANS_HOST_DEVICE constexpr std::int64_t dealt_centroids(std::int64_t asked,
                                                                std::int64_t all_asked,
                                                                std::int64_t spare) {
  return asked * spare / all_asked;
}

// Where part p of so many parts of a cluster begins, among its points.
FLASH_KMEANS_HOST_DEVICE constexpr std::int64_t part_begin(std::int64_t p, std::int64_t parts,
                                                           std::int64_t points) {
  return p * points / parts;
}

// The part that a cluster's point number i is in.
FLASH_KMEANS_HOST_DEVICE constexpr std::int64_t part_of(std::int64_t i, std::int64_t parts,
                                                        std::int64_t points) {
  return ((i + 1) * parts - 1) / points;
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail
