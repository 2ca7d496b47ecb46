// Assignment on the FMA units: every type, every GPU, any shape and alignment.
//
// A block of 256 threads takes t.n points and walks over all centroids, t.k at a time; every thread
// multiplies a 16th of the points by a 16th of the centroids. Both operands pass through shared
// memory, transposed, t.d features at a time, with the next step's values on their way in registers
// meanwhile. What becomes of the scores is a policy: the nearest centroid is kept in registers
// (simt_nearest), or the j nearest in lists (nearest_j.cuh).
#pragma once

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "argmin.cuh"
#include "nearest_j.cuh"
#include "screen_state.cuh"
#include "simt_operand.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

// Candidates of a point in nearest_j, so that all shared memory is below 48 KiB.
inline constexpr int kSimtRoom = 24;

// Points that a screen left open, in a copy of their own but where it takes all.
template <class T>
struct open_params : assign_params<T> {
  screen_state screen;
  T const* gathered;  // [b][screen.capacity][ld]
  std::int64_t ld;

  __device__ search_points<T> points(std::int64_t b) const {
    if (screen.takes_all(b)) return assign_params<T>::points(b);
    return {gathered + b * screen.capacity * ld, ld, screen.taken(b)};
  }
  __device__ std::int64_t point(std::int64_t b, std::int64_t row) const {
    return screen.point(b, row);
  }
};

// Keeps the nearest centroid of `Slots` points a thread.
template <class T, int Slots, class Params = assign_params<T>>
class simt_nearest : public nearest_units<T> {
 public:
  using acc = centroid_t<T>;
  using params = Params;
  using typename nearest_units<T>::shared;

  __device__ simt_nearest(params const& p, shared&, std::int32_t rows) : p_(p), rows_(rows) {}

  template <int Steps, int, class Step, class Row>
  __device__ void take(Step&& step, Row&&) {
#pragma unroll
    for (int i = 0; i < Steps; ++i) {
      step(i, [&](int slot, acc score, std::int32_t index) { best_[slot].offer(score, index); });
    }
  }

  __device__ void end(std::int64_t problem, std::int64_t point) {
    int const tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    // The 16 threads of a point are neighbouring lanes.
#pragma unroll
    for (int i = 0; i < Slots; ++i) {
      best_[i].merge_lanes(16);
      int const row = simt_own(i, ty);
      if (tx == 0 && row < rows_) {
        p_.labels[problem * p_.n + p_.point(problem, point + row)] = best_[i].label(p_.none);
      }
    }
  }

 private:
  params const& p_;
  std::int32_t rows_;
  best_score<acc> best_[Slots];
};

template <class T>
using simt_nearest_of = simt_nearest<T, simt_tile_v<T>.n / 16>;

template <class T>
using simt_open_of = simt_nearest<T, simt_tile_v<T>.n / 16, open_params<T>>;
template <class T>
using simt_nearest_j_of = nearest_j<T, simt_tile_v<T>.n, kSimtThreads, kSimtRoom>;

// Two blocks an SM where registers allow it, those of double.
template <class T, class Search>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSimtThreads, std::is_same_v<T, double> ? 2 : 1)
    simt_kernel(typename Search::params const p) {
  using acc = centroid_t<T>;
  constexpr tile t = simt_tile_v<T>;
  constexpr int kN = t.n / 16, kK = t.k / 16;  // products of one thread
  using points = simt_operand<T, acc, t.n, t.d>;
  using centroids = simt_operand<T, acc, t.k, t.d>;
  __shared__ alignas(16) acc xs[t.d][points::kPitch];     // [d][n]
  __shared__ alignas(16) acc cs[t.d][centroids::kPitch];  // [d][k]

  __shared__ typename Search::shared search_space;

  int const tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  for (std::int64_t number = blockIdx.x; number < Search::units(p); number += gridDim.x) {
    search_unit const unit = Search::unit(p, number);
    std::int64_t const b = unit.tile / p.tiles_per_problem;
    if (p.skips(b)) continue;
    std::int64_t const first = (unit.tile - b * p.tiles_per_problem) * t.n;
    search_points<T> const from = p.points(b);
    if (first >= from.n) continue;
    auto const rows = static_cast<std::int32_t>(min(from.n - first, std::int64_t{t.n}));
    T const* const x = points::first_of(from.data + first * from.ld, from.ld);
    T const* const c = centroids::first_of(p.c.problem(b), p.c.ld);
    acc const* const bias = p.bias + b * p.bias_stride;

    Search search(p, search_space, rows);
    for (std::int32_t k0 = unit.first; k0 < unit.last; k0 += t.k) {
      acc dot[kN][kK] = {};
      points next_x;
      centroids next_c;
      T const* const c_tile = c + k0 * p.c.ld;
      next_x.read(x, from.ld, rows, p.d);
      next_c.read(c_tile, p.c.ld, p.k - k0, p.d);
      for (std::int32_t d0 = 0; d0 < p.d; d0 += t.d) {
        next_x.store(xs);
        next_c.store(cs);
        __syncthreads();
        if (d0 + t.d < p.d) {
          next_x.read(x + d0 + t.d, from.ld, rows, p.d - d0 - t.d);
          next_c.read(c_tile + d0 + t.d, p.c.ld, p.k - k0, p.d - d0 - t.d);
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
#pragma unroll
            for (int j = 0; j < kK; ++j) dot[i][j] += a[i] * w[j];
          }
        }
        __syncthreads();
      }
      search.template take<kK, kN>(
          [&](int j, auto&& visit) {
            std::int32_t const k = k0 + simt_own(j, tx);
            acc const bias_of_k = bias[k];
#pragma unroll
            for (int i = 0; i < kN; ++i) visit(i, dot[i][j] + bias_of_k, k);
          },
          [&](int i) { return simt_own(i, ty); });
    }
    search.end(b, first);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
