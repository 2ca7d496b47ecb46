// What the kernels of the counting sort share. Each problem is cut into spans of points, one block
// each; a block needs to know, for every bucket, how many points lie in lower buckets and how many
// of the bucket in earlier spans. The last bucket is the rest, of points in no cluster: it is there
// always and seldom holds any, so no loop over buckets has a round for it alone.
//
// Spans that are sorted at once and lie in one cluster of blocks tell each other (kernel_sort.cuh,
// short problems). Otherwise they are counted beforehand (count_span.cuh), and groups of spans are
// added up, so that a block reads few rows.
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
  std::int32_t const* wanted;    // [b] or null: not these then, but those that have a 0 here
  std::uint32_t* counts;         // [problems][spans][stride]
  std::uint32_t* group_counts;   // [problems][groups][stride], of buckets in pairs
  std::uint32_t* counted_spans;  // [problems][groups], zero between launches
  std::uint32_t* offsets;        // [problems][buckets + 1]
  std::uint32_t* order;          // [problems][n]
  cluster_index index;           // of the whole batch, by-products for the caller
  std::uint32_t n, k;
  std::uint32_t buckets;  // the rest included
  std::uint32_t stride;   // of a row of counts, even: buckets are read in pairs
  std::uint32_t span;     // points; a problem's last ones may be shorter or empty
  std::uint32_t spans;    // of a problem
  std::uint32_t tile;     // points that a block sorts at once
  std::int64_t first;     // problem of the call that the group begins with

  __device__ bool skips(std::uint32_t problem) const {
    if (wanted != nullptr) return wanted[first + problem] == 0;
    return status != nullptr && status[first + problem].converged != 0;
  }
  __device__ std::uint32_t* counts_of(std::uint32_t problem, std::uint32_t of_span) const {
    return counts + (std::int64_t{problem} * spans + of_span) * stride;
  }
  __device__ std::uint32_t groups() const { return ceil_div(spans, kSpansOfGroup); }
  __device__ std::uint32_t* counts_of_group(std::uint32_t problem, std::uint32_t group) const {
    return group_counts + (std::int64_t{problem} * groups() + group) * stride;
  }
  __device__ std::uint32_t span_begin(std::uint32_t of_span) const {
    return min(of_span * span, n);
  }
  __device__ std::uint32_t span_end(std::uint32_t of_span) const {
    return min(span_begin(of_span) + span, n);
  }
  // Buckets that have a neighbour in their pair: all, or all but the rest.
  __device__ std::uint32_t paired() const { return buckets / 2 * 2; }
  __device__ std::uint32_t bucket(std::int32_t label) const {
    return static_cast<std::uint32_t>(label) < k ? label : k;
  }
};

// The points of a problem as a sort finds them and leaves them.
class counted_points {
 public:
  static constexpr int kRounds = 16;   // of 32 points that a warp takes of a tile, at most
  static constexpr bool kRest = true;  // may hold points

  // What is sorted: bucket << 16 | place in the tile.
  using item = std::uint32_t;
  static __device__ std::uint32_t bucket_of(item of) { return of >> 16; }

  __device__ counted_points(counting_params const& p, std::uint32_t problem)
      : p_(p), problem_(problem) {}

  // What is sorted of a span.
  __device__ std::uint32_t first(std::uint32_t span) const { return p_.span_begin(span); }
  __device__ std::uint32_t last(std::uint32_t span) const { return p_.span_end(span); }

  // bucket(i): of what is at place i before the sort.
  __device__ auto buckets() const {
    return [this, labels = p_.labels + std::int64_t{problem_} * p_.n](std::uint32_t i) {
      return p_.bucket(labels[i]);
    };
  }

  // item(bucket << 16, i): what is at place i of the tile that begins at `begin`.
  __device__ auto items(std::uint32_t) const {
    return [](std::uint32_t bucket, std::uint32_t i) { return bucket | i; };
  }

  // put(item, place): it goes to `place`.
  __device__ auto puts(std::uint32_t begin) const {
    return [this, begin, order = p_.order + std::int64_t{problem_} * p_.n,
            whole = (p_.first + problem_) * p_.n](item of, std::uint32_t place) {
      std::uint32_t const point = begin + (of & 0xffffu);
      order[place] = point;
      if (p_.index.order != nullptr) {
        p_.index.order[whole + place] = static_cast<std::int32_t>(point);
      }
      if (p_.index.inverse != nullptr) {
        p_.index.inverse[whole + point] = static_cast<std::int32_t>(place);
      }
    };
  }

  // begins(j, offset, count): bucket j has `count` points from place `offset` on. Once for every
  // bucket of a problem.
  __device__ auto begins() const {
    return [this, offsets = offsets(), b = p_.first + problem_](
               std::uint32_t j, std::uint32_t offset, std::uint32_t count) {
      offsets[j] = offset;
      if (p_.index.offsets != nullptr && j <= p_.k) p_.index.offsets[b * (p_.k + 1) + j] = offset;
      if (p_.index.counts != nullptr && j < p_.k) p_.index.counts[b * p_.k + j] = count;
    };
  }
  // After the last bucket.
  __device__ void end() const { offsets()[p_.buckets] = p_.n; }

 private:
  __device__ std::uint32_t* offsets() const {
    return p_.offsets + std::int64_t{problem_} * (p_.buckets + 1);
  }

  counting_params const& p_;
  std::uint32_t problem_;
};

// Puts in the place of each of `count` numbers, from `at` on and `stride` apart, the sum of those
// before it and of `sum`; Read of them are on their way at once. Returns the sum of all. By one
// thread.
template <std::uint32_t Read, class Number>
__device__ std::uint32_t sums_before(Number* numbers, std::uint32_t at, std::uint32_t stride,
                                     std::uint32_t count, std::uint32_t sum) {
  for (std::uint32_t first = 0; first < count; first += Read) {
    std::uint32_t of[Read];
#pragma unroll
    for (std::uint32_t i = 0; i < Read; ++i) {
      of[i] = first + i < count ? numbers[(first + i) * stride + at] : 0;
    }
#pragma unroll
    for (std::uint32_t i = 0; i < Read; ++i) {
      if (first + i < count) numbers[(first + i) * stride + at] = static_cast<Number>(sum);
      sum += of[i];
    }
  }
  return sum;
}

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
