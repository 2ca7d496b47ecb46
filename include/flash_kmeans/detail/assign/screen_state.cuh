// What the kernels of a screened assignment tell each other.
//
// A screen finds the nearest centroids of float points by one product of half instead of six of
// bfloat16, and those of double points without FMAs of double, and proves them, or leaves the point
// open for the exact kernel. It looks at x' = s (x - m) and c' = s (c - m), which differ like x and
// c but for the scale s, a power of two; m is about the mean of the points (0 where distances
// depend on the origin). Rounded to half they are x~ and c~. The score of x' and c' differs from
// the one that the tensor cores find for x~ and c~ by no more than
//
//   E(x, c) = |x' - x~| |c'| + |x~| |c' - c~| + r (|x~| |c'| + |c'|^2 / 2)
//
// by Cauchy-Schwarz: the first two terms are x'.c' - x~.c~ = (x' - x~).c' + x~.(c' - c~). The last
// one is what fp32 loses: tensor cores truncate 16 products and an accumulator, each by at most 2 u
// of the largest (u = 2^-24), in d / 16 instructions and one for the bias; x', c' and the bias are
// rounded once each.
//
// Clusters differ in |c'|, so every centroid has a margin of its own: M(c) is E of a usual point
// and enters with the bias. The screen's scores are then upper bounds of the true ones, but for
// what a point's lengths exceed the usual ones by (`more`). If c* has the largest one and no other
// has more than the second largest, c* is the nearest centroid where
//
//   largest - second > M(c*) + E(x, c*) + more
//
// Values that are not finite make the right side infinite or NaN, and leave the point open.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Lengths of a point or centroid in the frame of its problem, in half and of what half lacks.
struct screen_lengths {
  float lost;  // |x' - x~| or |c' - c~|
  float left;  // |x~| or |c'|
};

struct screen_problem {
  float scale;               // s
  screen_lengths usual;      // of points
  screen_lengths centroids;  // no centroid's were larger since the points were made ready
  std::uint32_t open;        // points that the screen left open
  std::uint32_t all;         // whether it left too many once, so that all are open from then on:
                             // 1 while they are gathered, then 2
};

struct screen_state {
  screen_problem* problems;   // [b], or null: nothing is screened
  float* mean;                // [b][ld], m, zero behind the features
  screen_lengths* points;     // [b][n]
  screen_lengths* centroids;  // [b][k]
  float* gaps;                // [b][n], from the second largest score to the largest
  std::int32_t* open;         // [b][n], the open points of each problem, in any order
  std::int64_t n, k;
  // Open points of a problem that are gathered at most. Where there are more, all are taken where
  // they lie; n if that cannot be, since the exact kernel reads copies only.
  std::int64_t capacity;
  float rounding;  // r

  // Whether the exact kernel takes all points of a problem, in their own order.
  __device__ bool takes_all(std::int64_t b) const {
    return problems[b].all != 0 || problems[b].open > capacity;
  }
  // How many it takes, and which one is its `row`.
  __device__ std::int64_t taken(std::int64_t b) const {
    return takes_all(b) ? n : problems[b].open;
  }
  __device__ std::int64_t point(std::int64_t b, std::int64_t row) const {
    return takes_all(b) ? row : open[b * n + row];
  }

  // E
  __device__ float error(screen_lengths const& x, screen_lengths const& c) const {
    return x.lost * c.left + x.left * c.lost + rounding * (x.left * c.left + c.left * c.left / 2);
  }
  // M
  __device__ float margin(std::int64_t b, screen_lengths const& c) const {
    return error(problems[b].usual, c);
  }
  // Whether the centroid j that the screen found for point i is certainly its nearest.
  __device__ bool decides(std::int64_t b, std::int64_t i, std::int32_t j) const {
    screen_problem const& problem = problems[b];
    screen_lengths const x = points[b * n + i], c = centroids[b * k + j], most = problem.centroids;
    float const more = fmaxf(0, x.lost - problem.usual.lost) * most.left +
                       fmaxf(0, x.left - problem.usual.left) * (most.lost + rounding * most.left);
    constexpr float kRoom = 1.0f + 0x1p-8f;  // for what these lines round
    return gaps[b * n + i] > kRoom * (margin(b, c) + error(x, c) + more);
  }
};

// A length from a sum of squares, with room for what rounding and squares that underflow lost.
__device__ inline float screen_length(float squares) {
  return sqrtf(squares) * (1.0f + 0x1p-9f) + 0x1p-60f;
}

// r, of instructions of 16 features.
inline float screen_rounding(std::int64_t d) {
  auto const instructions = static_cast<float>((d + 15) / 16 + 1);
  return (34 * instructions + 8) * 0x1p-24f;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
