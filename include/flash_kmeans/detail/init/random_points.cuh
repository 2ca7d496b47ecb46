// Random points as centroids: what its kernels share.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../math.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kRandomThreads = 256;

template <class T>
struct random_params {
  device_matrix<T const> x;        // [b][n][d]
  device_matrix<centroid_t<T>> c;  // [b][k][d]
  problem_seeds seeds;
  std::int64_t n;
  std::int32_t k, d;
  std::int64_t centroids;  // b * k

  __device__ T const* point(std::int64_t b, std::int64_t draw) const {
    return x.problem(b) + random_point(draw, n, seeds.key(b)) * x.ld;
  }
  // By one warp.
  __device__ bool is_finite_draw(std::int64_t b, std::int64_t draw) const {
    T const* const from = point(b, draw);
    bool finite = true;
    for (std::int32_t i = threadIdx.x % 32; i < d; i += 32) {
      finite &= is_finite(widen<centroid_t<T>>(from[i]));
    }
    return __all_sync(0xffffffffu, finite);
  }

  // Makes a draw of a problem its centroid j. Returns whether all its values are finite. By one warp.
  __device__ bool copy(std::int64_t b, std::int64_t draw, std::int64_t j) const {
    T const* const from = point(b, draw);
    centroid_t<T>* const to = c.problem(b) + j * c.ld;
    bool finite = true;
    for (std::int32_t i = threadIdx.x % 32; i < d; i += 32) {
      auto const value = widen<centroid_t<T>>(from[i]);
      finite &= is_finite(value);
      to[i] = value;
    }
    return __all_sync(0xffffffffu, finite);
  }
};

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
