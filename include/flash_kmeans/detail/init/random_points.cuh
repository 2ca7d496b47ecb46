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

  // Makes draws centroids from number `found` on, those that may(point) be and are finite. With too
  // few of them centroids are repeated; without any they are zero. By one block, whose warps try a
  // draw each.
  template <class May>
  __device__ void draw_rest(std::int64_t b, std::int64_t found, May&& may) const {
    constexpr int kWarps = kRandomThreads / 32;
    __shared__ bool good_draws[kWarps];
    int const warp = threadIdx.x / 32;
    std::uint64_t const key = seeds.key(b);
    for (std::int64_t first = 0; first < n && found < k; first += kWarps) {
      std::int64_t const draw = first + warp;
      bool const own = draw < n && may(random_point(draw, n, key)) && is_finite_draw(b, draw);
      __syncthreads();  // those before have been read
      if (threadIdx.x % 32 == 0) good_draws[warp] = own;
      __syncthreads();
      std::int64_t before = found;
      for (int w = 0; w < kWarps; ++w) {
        before += w < warp && good_draws[w];
        found += good_draws[w];
      }
      if (own && before < k) copy(b, draw, before);
    }
    __syncthreads();
    centroid_t<T>* const own = c.problem(b);
    for (std::int64_t j = found + warp; j < k; j += kWarps) {
      for (std::int32_t i = threadIdx.x % 32; i < d; i += 32) {
        own[j * c.ld + i] = found > 0 ? own[(j % found) * c.ld + i] : centroid_t<T>{0};
      }
    }
  }
};

template <class T>
random_params<T> random_draws(matrix_view<T const> const& x, matrix_view<centroid_t<T>> const& c,
                              problem_seeds const& seeds) {
  return {device_matrix<T const>(x),
          device_matrix<centroid_t<T>>(c),
          seeds,
          x.rows,
          static_cast<std::int32_t>(c.rows),
          static_cast<std::int32_t>(x.cols),
          x.batch_count() * c.rows};
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
