// Points as the seedings see them: distances to the nearest centroid so far, and sums of their
// potentials, weight x distance, in a fixed order.
//
// 64 neighbouring points are a span, which one warp measures; spans make up a block of points, and
// at most 2048 blocks a problem. Both depend on n alone, so that sums do not depend on the launch
// or on what else is in a batch.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../math.hpp"
#include "../seeding.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSeedThreads = 256;  // of the kernels that go over all points
inline constexpr int kSeedSpan = 64;
inline constexpr std::int64_t kSeedBlocks = 2048;

// Points of a block: a span for every warp, or more of them.
inline std::int64_t seed_block(std::int64_t n) {
  return round_up(ceil_div(n, kSeedBlocks), std::int64_t{kSeedThreads / 32 * kSeedSpan});
}

// In seed_points::nearest, of a point that is a centroid.
template <class Acc>
inline constexpr Acc kChosen = -1;

template <class T>
struct seed_points {
  using acc = centroid_t<T>;
  device_matrix<T const> x;  // [b][n][d]
  acc const* weights;        // [b][n] or null
  acc* norms;                // [b][n], |x|^2; for cosine 1/|x|
  acc* nearest;              // [b][n], distance to the nearest centroid: infinite before the first,
                             // 0 of a point that is not drawn (see good), kChosen of a centroid
  double* span_sums;         // [b][spans][columns], potentials if a candidate became a centroid;
                             // after these, if two of them did, see pair_column
  double* block_sums;        // [b][columns][blocks]
  std::int32_t* drawn;       // [b][2 + 2 most]: the last two centroids, of one step or of two;
                             // candidates of a step, and proposals for the next
  std::int32_t* chosen;      // [b], centroids that are chosen
  std::int64_t n;
  std::int32_t d;
  std::int32_t most;     // candidates of a step
  std::int32_t columns;  // sums of a span
  bool aligned;          // rows start on 16 bytes
  bool cosine;
  std::int64_t block, blocks, spans;  // points of a block; of a problem
  std::int64_t count;                 // blocks over all problems

  __device__ acc weight(std::int64_t b, std::int64_t i) const {
    return weights == nullptr ? acc{1} : weights[b * n + i];
  }

  // What norms holds for this |x|^2.
  __device__ acc norm_of(acc squares) const { return cosine ? 1 / sqrt(squares) : squares; }

  // Whether a point with this norm is ever drawn: one of finite length that has a direction where
  // that is what counts.
  __device__ bool good(acc norm) const { return norm - norm == 0 && (!cosine || norm > 0); }

  // Whether a point with this norm may be a centroid where nothing is left to draw by.
  __device__ bool is_point(acc norm) const { return cosine ? norm > 0 : norm - norm == 0; }

  __device__ std::int32_t* last_centroids(std::int64_t b) const {
    return drawn + b * (2 + 2 * most);
  }
  __device__ std::int32_t* candidates(std::int64_t b) const { return last_centroids(b) + 2; }
  __device__ std::int32_t* proposals(std::int64_t b) const { return candidates(b) + most; }

  // Where the sum lies of what is left by a candidate and a proposal together.
  __device__ std::int32_t pair_column(std::int32_t candidate, std::int32_t proposal) const {
    return most + candidate * most + proposal;
  }

  // use(span) for the spans of a block of points that this warp takes.
  template <class Use>
  __device__ void for_own_spans(std::int64_t block_index, Use&& use) const {
    auto const of_block = static_cast<std::uint32_t>(block / kSeedSpan);
    auto const first = static_cast<std::uint32_t>(block_index) * of_block;
    auto const last = min(first + of_block, static_cast<std::uint32_t>(spans));
    for (std::uint32_t span = first + threadIdx.x / 32; span < last; span += blockDim.x / 32) {
      use(span);
    }
  }

  __device__ double* sums_of_span(std::int64_t b, std::int64_t span) const {
    return span_sums + (b * spans + span) * columns;
  }

  __device__ double* sums_of_blocks(std::int64_t b, std::int32_t column) const {
    return block_sums + (b * columns + column) * blocks;
  }

  // Adds up the spans of a block of points. All threads call it when the block's warps have written
  // theirs.
  __device__ void add_spans(std::int64_t b, std::int64_t block_index, std::int32_t used) const {
    __syncthreads();
    std::int64_t const of_block = block / kSeedSpan, first = block_index * of_block;
    std::int64_t const last = first + of_block < spans ? first + of_block : spans;
    for (std::int32_t c = threadIdx.x; c < used; c += blockDim.x) {
      double sum = 0;
#pragma unroll 8
      for (std::int64_t s = first; s < last; ++s) sum += sums_of_span(b, s)[c];
      sums_of_blocks(b, c)[block_index] = sum;
    }
  }
};

// 1 - cos of the angle, from the product and 1/|x|, 1/|c|; what rounding leaves of parallel rows is
// 0.
template <class Acc>
__device__ Acc cosine_distance(Acc dot, Acc x_scale, Acc c_scale) {
  constexpr Acc kRounding = sizeof(Acc) == 8 ? 0x1p-50 : 0x1p-21;
  Acc const distance = 1 - dot * x_scale * c_scale;
  return distance <= kRounding ? Acc{0} : distance;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
