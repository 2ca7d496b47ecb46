// Assignment on the FMA units: every type, every GPU, any shape and alignment.
//
// A block of 256 threads takes t.n points and walks over all centroids, t.k at a time; every thread
// multiplies a 16th of the points by a 16th of the centroids. Both operands pass through shared
// memory, transposed, t.d features at a time, with the next step's values on their way in registers
// meanwhile.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "argmin.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSimtThreads = 256;

template <class T>
inline constexpr tile simt_tile_v = std::is_same_v<T, double> ? kSimtTileDouble : kSimtTile;

// Rows x features of one operand, on the way from global to shared memory.
template <class T, class Acc, int Rows, int Features>
struct simt_operand {
  static constexpr int kRowsAtOnce = kSimtThreads / Features;
  static constexpr int kValues = Rows / kRowsAtOnce;
  static constexpr int kPitch = Rows + 4;  // keeps 16-byte alignment and spreads the banks

  Acc values[kValues];

  // Rows from `rows` on and features from `features` on are zero.
  __device__ void read(T const* base, std::int64_t ld, std::int64_t rows, std::int32_t features) {
    int const column = threadIdx.x % Features, row = threadIdx.x / Features;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      int const r = row + i * kRowsAtOnce;
      values[i] = r < rows && column < features ? widen<Acc>(base[r * ld + column]) : Acc{0};
    }
  }

  __device__ void store(Acc (&shared)[Features][kPitch]) const {
    int const column = threadIdx.x % Features, row = threadIdx.x / Features;
#pragma unroll
    for (int i = 0; i < kValues; ++i) shared[column][row + i * kRowsAtOnce] = values[i];
  }
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSimtThreads) simt_kernel(assign_params<T> const p) {
  using acc = centroid_t<T>;
  constexpr tile t = simt_tile_v<T>;
  constexpr int kN = t.n / 16, kK = t.k / 16;  // products of one thread
  using points = simt_operand<T, acc, t.n, t.d>;
  using centroids = simt_operand<T, acc, t.k, t.d>;
  __shared__ alignas(16) acc xs[t.d][points::kPitch];     // [d][n]
  __shared__ alignas(16) acc cs[t.d][centroids::kPitch];  // [d][k]

  // A thread owns runs of 4 neighbours, 64 apart: 16-byte reads without bank conflicts.
  int const tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  auto own = [](int i, int of) { return (i / 4) * 64 + of * 4 + i % 4; };

  for (std::int64_t tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    std::int64_t const b = tile / p.tiles_per_problem;
    if (p.skips(b)) continue;
    std::int64_t const first = (tile - b * p.tiles_per_problem) * t.n;
    std::int64_t const rows = p.n - first;
    T const* const x = p.x.problem(b) + first * p.x.ld;
    T const* const c = p.c.problem(b);
    acc const* const bias = p.bias + b * p.bias_stride;

    best_score<acc> best[kN];
    for (std::int32_t k0 = 0; k0 < p.k; k0 += t.k) {
      acc dot[kN][kK] = {};
      points next_x;
      centroids next_c;
      T const* const c_tile = c + k0 * p.c.ld;
      next_x.read(x, p.x.ld, rows, p.d);
      next_c.read(c_tile, p.c.ld, p.k - k0, p.d);
      for (std::int32_t d0 = 0; d0 < p.d; d0 += t.d) {
        next_x.store(xs);
        next_c.store(cs);
        __syncthreads();
        if (d0 + t.d < p.d) {
          next_x.read(x + d0 + t.d, p.x.ld, rows, p.d - d0 - t.d);
          next_c.read(c_tile + d0 + t.d, p.c.ld, p.k - k0, p.d - d0 - t.d);
        }
#pragma unroll
        for (int f = 0; f < t.d; ++f) {
          acc a[kN], w[kK];
#pragma unroll
          for (int i = 0; i < kN; ++i) a[i] = xs[f][own(i, ty)];
#pragma unroll
          for (int j = 0; j < kK; ++j) w[j] = cs[f][own(j, tx)];
#pragma unroll
          for (int i = 0; i < kN; ++i) {
#pragma unroll
            for (int j = 0; j < kK; ++j) dot[i][j] += a[i] * w[j];
          }
        }
        __syncthreads();
      }
#pragma unroll
      for (int j = 0; j < kK; ++j) {
        std::int32_t const k = k0 + own(j, tx);
        acc const minus_half_norm = bias[k];
#pragma unroll
        for (int i = 0; i < kN; ++i) best[i].offer(dot[i][j] + minus_half_norm, k);
      }
    }

    // The 16 threads of a point are neighbouring lanes.
#pragma unroll
    for (int i = 0; i < kN; ++i) {
      best[i].merge_lanes(16);
      int const row = own(i, ty);
      if (tx == 0 && row < rows) p.labels[b * p.n + first + row] = best[i].index;
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
