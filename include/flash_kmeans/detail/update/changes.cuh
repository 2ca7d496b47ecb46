// What changed since the update before. A fit adds only that to the sums that it has: a point that
// changed its cluster is two entries, one that leaves the sum of its old cluster and one that comes to
// that of its new one. Entries are sorted by cluster and added up as points are. In the first update
// all points come.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// One entry as spans of points list it.
struct change_entry {
  static constexpr int kPlaceBits = 20, kClusterBits = 11;

  std::uint32_t bits;  // cluster, whether the point leaves it, place of the point in its span

  static __device__ change_entry of(std::uint32_t cluster, bool leaves, std::uint32_t place) {
    return {cluster << (kPlaceBits + 1) | std::uint32_t{leaves} << kPlaceBits | place};
  }
  __device__ std::uint32_t cluster() const { return bits >> (kPlaceBits + 1); }
  __device__ bool leaves() const { return (bits >> kPlaceBits & 1) != 0; }
  __device__ std::uint32_t place() const { return bits & ((1u << kPlaceBits) - 1); }
};

// Sorted entries that leave have this bit beside the cluster.
inline constexpr std::uint32_t kLeaves = 1u << 31;

struct point_changes {
  std::uint32_t* before;    // [b][n] bucket that each point is in
  change_entry* entries;    // [problems][spans][2 * span], by point
  std::uint32_t* lengths;   // [problems][spans] entries
  std::uint32_t* order;     // [problems][2 * n] points of the sorted entries
  std::uint32_t* clusters;  // [problems][2 * n] and their clusters
};

// What a fit knows of its clusters from one update to the next.
struct cluster_sums {
  double* sums;          // [b][k][width] of their points
  std::uint32_t* sizes;  // [b][k], zero before a fit; current once changes are listed
  std::int32_t* failed;  // [b], zero before a fit: the update after which sums were not finite
  std::uint32_t k;
  std::int32_t width;

  // Whether sums begin anew, from all points: in the first update, and once a sum has left its range.
  __device__ bool begin_anew(fit_status const* status, std::int64_t b) const {
    std::int32_t const updates = status[b].iterations;
    return updates == 0 || (failed[b] != 0 && failed[b] <= updates);
  }
  __device__ void fail(fit_status const* status, std::int64_t b) const {
    // Once: blocks of a launch that ask begin_anew before and after this get the same answer.
    if (failed[b] == 0) failed[b] = status[b].iterations + 1;
  }
  __device__ double* at(std::int64_t b, std::uint32_t label, std::int32_t i) const {
    return sums + (b * k + label) * width + i;
  }
  // By one warp.
  __device__ void clear(std::int64_t b, std::uint32_t label) const {
    for (auto i = static_cast<std::int32_t>(threadIdx.x % 32); i < width; i += 32) {
      *at(b, label, i) = 0;
    }
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
