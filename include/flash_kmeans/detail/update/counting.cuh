// What the kernels of the counting sort share. Each problem is cut into spans of points, one block
// each; a block needs to know, for every bucket, how many points lie in lower buckets and how many
// of the bucket in earlier spans.
//
// Spans that are sorted at once and lie in one cluster of blocks tell each other (kernel_sort.cuh,
// short problems). Otherwise kernel_count counts them beforehand, and adds up groups of spans, so
// that a block of kernel_sort reads few rows.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../math.hpp"
#include "../ptx/vote.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr std::uint32_t kSpansOfGroup = 16;

struct counting_params {
  std::int32_t const* labels;    // [problems][n]
  fit_status const* status;      // [b] or null: problems that have converged keep their order
  std::uint32_t* counts;         // [problems][spans][buckets]
  std::uint32_t* group_counts;   // [problems][groups][buckets]
  std::uint32_t* counted_spans;  // [problems][groups], zero between launches
  std::uint32_t* offsets;        // [problems][buckets + 1]
  std::uint32_t* order;          // [problems][n]
  cluster_index index;           // of the whole batch, by-products for the caller
  std::uint32_t n, k, buckets;
  std::uint32_t span;   // points; a problem's last ones may be shorter or empty
  std::uint32_t spans;  // of a problem
  std::uint32_t tile;   // points that a block sorts at once
  std::int64_t first;   // problem of the call that the group begins with

  __device__ bool skips(std::uint32_t problem) const {
    return status != nullptr && status[first + problem].converged != 0;
  }
  __device__ std::uint32_t* counts_of(std::uint32_t problem, std::uint32_t of_span) const {
    return counts + (std::int64_t{problem} * spans + of_span) * buckets;
  }
  __device__ std::uint32_t groups() const { return ceil_div(spans, kSpansOfGroup); }
  __device__ std::uint32_t* counts_of_group(std::uint32_t problem, std::uint32_t group) const {
    return group_counts + (std::int64_t{problem} * groups() + group) * buckets;
  }
  __device__ std::uint32_t bucket(std::int32_t label) const {
    return static_cast<std::uint32_t>(label) < k ? label : k;
  }
};

// Counts 32 points of a warp, one a lane. Returns how many points before this one have its bucket.
// counts: of the warp's points so far, [buckets]. bits: that hold a bucket. By votes, since
// __match_any_sync is slow on Hopper. bucket: below the number of buckets for lanes outside too.
__device__ inline std::uint32_t count_points(std::uint16_t* counts, std::uint32_t bucket,
                                             bool inside, int bits) {
  std::uint32_t same = __ballot_sync(0xffffffffu, inside);
  for (int bit = 0; bit < bits; ++bit) same = ptx::keep_same_bit(same, bucket, bit);
  std::uint32_t const before = __popc(same & ((1u << threadIdx.x % 32) - 1));
  std::uint32_t const earlier = counts[bucket] + before;
  __syncwarp();
  if (inside && before == 0) counts[bucket] = static_cast<std::uint16_t>(earlier + __popc(same));
  __syncwarp();
  return earlier;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
