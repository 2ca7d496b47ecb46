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
  bool aligned;                // their rows start on 16 bytes
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
      constexpr int V = 16 / sizeof(acc);
      std::int64_t width = p.d;
      if constexpr (!std::is_void_v<Operand>) width = p.operand_ld;  // a multiple of V
      for (std::int64_t i = lane * V; i < width; i += 32 * V) {
        pack<acc, V> values = load_padded<V>(c, i, p.d, p.aligned);
        if constexpr (!std::is_void_v<Operand>) {
          Operand* const to =
              static_cast<Operand*>(p.operand) + (b * Pieces * p.k + j) * p.operand_ld + i;
          Operand parts[Pieces * V];
#pragma unroll
          for (int v = 0; v < V; ++v) {
            values.values[v] = split<Operand, Pieces>(values.values[v], parts + v, V);
          }
#pragma unroll
          for (int piece = 0; piece < Pieces; ++piece) {
            pack<Operand, V> written;
#pragma unroll
            for (int v = 0; v < V; ++v) written.values[v] = parts[piece * V + v];
            *reinterpret_cast<pack<Operand, V>*>(to + piece * p.k * p.operand_ld) = written;
          }
        }
#pragma unroll
        for (int v = 0; v < V; ++v) {
          squares += static_cast<double>(values.values[v]) * values.values[v];
        }
      }
      squares = group_sum(squares, 32);
    }
    auto const bias = static_cast<acc>(-0.5 * squares);
    if (lane == 0 && p.bias != nullptr) p.bias[row] = bias;
    if constexpr (!std::is_same_v<acc, double>) {
      if (lane == 0 && p.bias_pieces != nullptr) {
        using half_row = pack<__nv_bfloat16, kSm90BiasColumns / 2>;
        half_row pieces{};
        if (bias - bias == 0) {
          split<__nv_bfloat16, 3>(bias, pieces.values, 1);
        } else {
          pieces.values[0] = __nv_bfloat16(bias);
        }
        auto* const to = reinterpret_cast<half_row*>(p.bias_pieces) + 2 * row;
        to[0] = pieces;
        to[1] = half_row{};
      }
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
