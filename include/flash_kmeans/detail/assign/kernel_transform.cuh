// Distances of all points to all centroids, on the FMA units.
//
// The tiles of kernel_simt.cuh, but a thread adds what the metric says of each pair of values, from
// masters: differences are formed first where the metric has them, so nothing cancels.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "metrics.cuh"
#include "simt_operand.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct transform_params {
  using acc = centroid_t<T>;
  device_matrix<T const> x;      // [b][n][d]
  device_matrix<acc const> c;    // [b][k][d]
  device_matrix<acc> distances;  // [b][n][k]
  bool aligned;                  // rows of distances start on 16 bytes
  std::int64_t n;
  std::int32_t k, d;
  std::int64_t k_tiles, tiles_per_problem;
  std::int64_t tiles;  // over all problems
};

template <class T, class Terms>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSimtThreads)
    transform_kernel(transform_params<T> const p) {
  using acc = centroid_t<T>;
  constexpr tile t = simt_tile_v<T>;
  constexpr int kN = t.n / 16, kK = t.k / 16;  // distances of one thread
  constexpr int V = 16 / sizeof(acc);          // that are written at once
  using points = simt_operand<T, acc, t.n, t.d>;
  using centroids = simt_operand<acc, acc, t.k, t.d>;
  __shared__ alignas(16) acc xs[t.d][points::kPitch];     // [d][n]
  __shared__ alignas(16) acc cs[t.d][centroids::kPitch];  // [d][k]

  int const tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  for (std::int64_t number = blockIdx.x; number < p.tiles; number += gridDim.x) {
    std::int64_t const b = number / p.tiles_per_problem, own = number - b * p.tiles_per_problem;
    std::int64_t const first = own / p.k_tiles * t.n;
    std::int32_t const k0 = static_cast<std::int32_t>(own % p.k_tiles) * t.k;
    auto const rows = static_cast<std::int32_t>(min(p.n - first, std::int64_t{t.n}));
    T const* const x = points::first_of(p.x.problem(b) + first * p.x.ld, p.x.ld);
    acc const* const c = centroids::first_of(p.c.problem(b) + k0 * p.c.ld, p.c.ld);

    acc sums[kN][kK] = {}, squares[kN] = {};
    points next_x;
    centroids next_c;
    next_x.read(x, p.x.ld, rows, p.d);
    next_c.read(c, p.c.ld, p.k - k0, p.d);
    for (std::int32_t d0 = 0; d0 < p.d; d0 += t.d) {
      next_x.store(xs);
      next_c.store(cs);
      __syncthreads();
      if (d0 + t.d < p.d) {
        next_x.read(x + d0 + t.d, p.x.ld, rows, p.d - d0 - t.d);
        next_c.read(c + d0 + t.d, p.c.ld, p.k - k0, p.d - d0 - t.d);
      }
#pragma unroll
      for (int f = 0; f < t.d; ++f) {
        acc a[kN], w[kK];
#pragma unroll
        for (int i = 0; i < kN; ++i) a[i] = xs[f][simt_own(i, ty)];
#pragma unroll
        for (int j = 0; j < kK; ++j) w[j] = cs[f][simt_own(j, tx)];
#pragma unroll
        for (int i = 0; i < kN; ++i) {
          if constexpr (Terms::kLengths) squares[i] += a[i] * a[i];
#pragma unroll
          for (int j = 0; j < kK; ++j) Terms::add(sums[i][j], a[i], w[j]);
        }
      }
      __syncthreads();
    }

    acc* const to = p.distances.problem(b) + first * p.distances.ld;
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      int const row = simt_own(i, ty);
      if (row >= rows) continue;
#pragma unroll
      for (int j = 0; j < kK; j += V) {
        pack<acc, V> values;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          values.values[v] = Terms::distance(sums[i][j + v], squares[i]);
        }
        store_padded<V>(values, to + row * p.distances.ld, k0 + simt_own(j, tx), p.k, p.aligned);
      }
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
