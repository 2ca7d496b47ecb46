// Turns master centroids into what the assignment kernels multiply: a copy in the type of the
// points where that is narrower, and -|c|^2/2 of the centroid as it is multiplied.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "pieces.cuh"
#include "tiles.hpp"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct norms_params {
  using acc = centroid_t<T>;
  device_matrix<acc const> c;  // [b][k][d], masters
  void* operand;               // [b][pieces][k][operand_ld] of Operand, zero from d on
  std::int64_t operand_ld;
  acc* bias;  // [b][bias_stride], -|c|^2/2, -inf from k on, or null
  // [b][bias_stride][16], the same in pieces as the sm90 kernel takes it, or null.
  __nv_bfloat16* bias_pieces;
  std::int64_t bias_stride;
  std::int64_t rows;  // b * bias_stride
  std::int32_t k, d;
  std::uint32_t* counters;  // set to zero
  std::int32_t counter_count;
};

inline constexpr int kNormsThreads = 256;

// Operand: void where a kernel multiplies the masters themselves. One warp a centroid, padding
// included. The sum runs in double, so the bias carries one rounding.
template <class T, class Operand, int Pieces>
FLASH_KMEANS_KERNEL void __launch_bounds__(kNormsThreads) norms_kernel(norms_params<T> const p) {
  using acc = typename norms_params<T>::acc;
  ptx::let_next_grid_start();
  int const lane = threadIdx.x % 32;
  std::int64_t const first = std::int64_t{blockIdx.x} * kNormsThreads + threadIdx.x;
  std::int64_t const threads = std::int64_t{gridDim.x} * kNormsThreads;
  for (std::int64_t i = first; i < p.counter_count; i += threads) p.counters[i] = 0;
  for (std::int64_t row = first / 32; row < p.rows; row += threads / 32) {
    std::int64_t const b = row / p.bias_stride, j = row - b * p.bias_stride;
    double squares = kInfinity<double>;
    if (j < p.k) {
      squares = 0;
      acc const* const c = p.c.problem(b) + j * p.c.ld;
      if constexpr (std::is_void_v<Operand>) {
        for (int i = lane; i < p.d; i += 32) squares += static_cast<double>(c[i]) * c[i];
      } else {
        Operand* const to =
            static_cast<Operand*>(p.operand) + (b * Pieces * p.k + j) * p.operand_ld;
        for (int i = lane; i < p.operand_ld; i += 32) {
          acc const value = i < p.d ? c[i] : acc{0};
          acc const multiplied = split<Operand, Pieces>(value, to + i, p.k * p.operand_ld);
          squares += static_cast<double>(multiplied) * multiplied;
        }
      }
      squares = group_sum(squares, 32);
    }
    auto const bias = static_cast<acc>(-0.5 * squares);
    if (lane == 0 && p.bias != nullptr) p.bias[row] = bias;
    if constexpr (!std::is_same_v<acc, double>) {
      if (lane == 0 && p.bias_pieces != nullptr) {
        __nv_bfloat16* const to = p.bias_pieces + row * kSm90BiasColumns;
        for (int i = 0; i < kSm90BiasColumns; ++i) to[i] = __nv_bfloat16(0.0f);
        if (bias - bias == 0) {
          split<__nv_bfloat16, 3>(bias, to, 1);
        } else {
          to[0] = __nv_bfloat16(bias);
        }
      }
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
