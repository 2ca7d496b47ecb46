// A round of k-means|| as its kernels see it, and what they share.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../reduce.cuh"
#include "seed_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Points that were taken, in the order of the rounds and of the points. The first is drawn before
// the rounds.
struct seed_taken {
  std::int32_t* points;  // [b][most]
  std::int32_t* ends;  // [b][1 + rounds], how many there are before the first round, after it, ...
  std::int32_t* used;  // [b], how many there are now
  std::int64_t most;

  __device__ std::int32_t end(std::int64_t b, int round) const {
    return ends[b * (1 + kSeedRounds) + round];
  }
};

template <class T>
struct seed_round {
  seed_points<T> points;
  seed_taken taken;
  std::int32_t* counts;  // [b][blocks], points of a block that the round takes
  problem_seeds seeds;
  std::int64_t k;
  std::int32_t capacity;  // points that the round may take
  int round;

  // Sum of the potentials of a problem. All threads of a block call it.
  __device__ double total(std::int64_t b) const {
    __shared__ double shared;
    double const sum = block_strided_sum(points.sums_of_blocks(b, 0), points.blocks);
    if (threadIdx.x == 0) shared = sum;
    __syncthreads();
    return shared;
  }

  __device__ bool takes(std::int64_t b, std::int64_t point, double all) const {
    if (point >= points.n) return false;
    double const potential =
        seed_potential(points.weight(b, point), points.nearest[b * points.n + point]);
    std::uint64_t const key = round_key(seeds.key(b), round);
    return is_taken(random_unit(key, static_cast<std::uint64_t>(point)), k, potential, all);
  }
};

// Weights are added up as integers, whose sum does not depend on the order, in units of this: the
// largest power of two that keeps the sum of all below 2^62.
__device__ inline double weight_unit(double total) {
  if (!(total > 0)) return 1;
  int const exponent = ilogb(total) - 61;
  return scalbn(1.0, exponent < -1000 ? -1000 : exponent);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
