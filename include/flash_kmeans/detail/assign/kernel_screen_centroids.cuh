// Makes centroids ready for a screen, before each of its assignments.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "operand.cuh"
#include "screen_rows.cuh"
#include "screen_state.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct screen_centroids_params {
  device_matrix<T const> c;  // [b][k][d], masters
  operand_params<float> to;  // [b][k][ld] of half
  screen_state state;
  std::int64_t rows;  // b * bias_stride
  bool aligned;       // rows of c start on 16 bytes
};

inline constexpr int kScreenCentroidsThreads = 256;

// *most is at least the value from now on, which is not negative, or NaN, which exceeds them all:
// ordered as integers are.
__device__ inline void raise(float* most, float value) {
  atomicMax(reinterpret_cast<std::uint32_t*>(most), __float_as_uint(value));
}

// One warp a centroid, padding included. The first of a problem begins a new count of open points.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kScreenCentroidsThreads)
    screen_centroids_kernel(screen_centroids_params<T> const p) {
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  constexpr int kWarps = kScreenCentroidsThreads / 32;
  int const lane = threadIdx.x % 32;
  for (std::int64_t row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32; row < p.rows;
       row += std::int64_t{gridDim.x} * kWarps) {
    std::int64_t const b = row / p.to.bias_stride, j = row - b * p.to.bias_stride;
    screen_problem* const problem = p.state.problems + b;
    double squares = kInfinity<double>, margin = 0;
    if (j < p.to.k) {
      T const* const from = p.c.problem(b) + j * p.c.ld;
      __half* const to = static_cast<__half*>(p.to.operand) + (b * p.to.k + j) * p.to.ld;
      float lost = 0, left = 0;
      squares = 0;
      for (std::int64_t f = lane * screened::kVector; f < p.to.ld; f += 32 * screened::kVector) {
        screened const some(from, f, p.to.d, p.aligned, p.state.mean + b * p.to.ld, problem->scale);
        *reinterpret_cast<pack<__half, screened::kVector>*>(to + f) = some.halves;
        some.add_squares(lost, left);
#pragma unroll
        for (float const value : some.values) squares += static_cast<double>(value) * value;
      }
      lost = group_sum(lost, 32);
      squares = group_sum(squares, 32);
      screen_lengths const lengths{screen_length(lost), screen_length(static_cast<float>(squares))};
      margin = p.state.margin(b, lengths);
      if (lane == 0) {
        p.state.centroids[b * p.to.k + j] = lengths;
        // One that is not finite never wins, so its length does not matter.
        if (is_finite(squares)) {
          raise(&problem->centroids.lost, lengths.lost);
          raise(&problem->centroids.left, lengths.left);
        }
      }
    }
    if (lane == 0) {
      p.to.write(b, j, static_cast<float>(p.to.bias_from(squares) + margin));
      if (j == 0) {
        bool const many = problem->open > p.state.n / 2;
        problem->all = problem->all != 0 ? 2 : many ? 1 : 0;
        problem->open = 0;
      }
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
