// The running best of one point, and what every assignment kernel is given.
//
// |x - c|^2 = |x|^2 - 2 (x.c - |c|^2/2), so the nearest centroid has the largest score x.c -
// |c|^2/2. |x|^2 is never formed: it would only cost range and rounding. Of the other metrics the
// score is x.c. A metric is what is multiplied and added, made ready before; kernels do not know it.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../device_matrix.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Largest score and the lowest index that has it. A NaN never wins; without any winner the index
// stays 0.
template <class Acc>
struct best_score {
  Acc score;
  std::int32_t index;

  // Not default member initialisers: nvcc 13.0 evaluates those of an array of arrays at compile
  // time and zeroes all but the first row.
  __device__ best_score() : score(-kInfinity<Acc>), index(0) {}
  __device__ best_score(Acc s, std::int32_t i) : score(s), index(i) {}

  // For indices offered in ascending order.
  __device__ void offer(Acc s, std::int32_t i) {
    if (s > score) {
      score = s;
      index = i;
    }
  }

  // For bests of any index ranges. One that never had a winner is (-inf, 0), which loses to any
  // finite score.
  __device__ void merge(Acc s, std::int32_t i) {
    if (s > score || (s == score && i < index)) {
      score = s;
      index = i;
    }
  }

  // none: for a point whose scores are not finite, since it holds a value that is not or its
  // products overflow.
  __device__ std::int32_t label(std::int32_t none) const {
    return score - score == 0 ? index : none;
  }

  // Over neighbouring lanes, a power of two of them.
  __device__ void merge_lanes(int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) {
      Acc const s = __shfl_xor_sync(0xffffffffu, score, step);
      std::int32_t const i = __shfl_xor_sync(0xffffffffu, index, step);
      merge(s, i);
    }
  }
};

// The points of a problem that a search takes.
template <class T>
struct search_points {
  T const* data;
  std::int64_t ld, n;
};

template <class T>
struct assign_params {
  device_matrix<T const> x;   // [b][n][d]
  device_matrix<T const> c;   // [b][k][d], in the type of the points (operand.cuh)
  centroid_t<T> const* bias;  // [b][bias_stride], -inf from k on (operand.cuh)
  std::int64_t bias_stride;
  std::int32_t* labels;      // [b][n]
  std::int32_t none;         // label of a point that is not finite
  fit_status const* status;  // [b] or null: problems that have converged keep their labels
  std::int64_t n;
  std::int32_t k, d;
  std::int64_t tiles_per_problem;
  std::int64_t tiles;  // over all problems

  __device__ search_points<T> points(std::int64_t b) const { return {x.problem(b), x.ld, n}; }
  __device__ std::int64_t point(std::int64_t, std::int64_t row) const { return row; }
  __device__ bool skips(std::int64_t problem) const { return has_converged(status, problem); }
};

// What a block searches at once: a tile of points among centroids [first, last).
struct search_unit {
  std::int64_t tile;
  std::int32_t first, last;
};

// What every search policy for one nearest centroid shares: a unit is a tile and all centroids.
template <class T>
struct nearest_units {
  using params = assign_params<T>;
  struct shared {};  // memory that it needs besides its kernel's

  __device__ static std::int64_t units(params const& p) { return p.tiles; }
  __device__ static search_unit unit(params const& p, std::int64_t number) {
    return {number, 0, p.k};
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
