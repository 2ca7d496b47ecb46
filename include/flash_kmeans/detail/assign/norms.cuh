// Turns master centroids into what the assignment kernels multiply: a copy in the type of the
// points where that is narrower, and -|c|^2/2 of the centroid as it is multiplied.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct norms_params {
  using acc = centroid_t<T>;
  device_matrix<acc const> c;  // [b][k][d], masters
  T* operand;  // [b][k][operand_ld], zero from d on; null where T is the masters' type
  std::int64_t operand_ld;
  acc* bias;  // [b][bias_stride]
  std::int64_t bias_stride;
  std::int64_t rows;  // b * bias_stride
  std::int32_t k, d;
};

inline constexpr int kNormsThreads = 256;

// One warp a centroid, padding included. The sum runs in double, so the bias carries one rounding.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kNormsThreads) norms_kernel(norms_params<T> const p) {
  using acc = typename norms_params<T>::acc;
  int const lane = threadIdx.x % 32;
  std::int64_t const warps = std::int64_t{gridDim.x} * (kNormsThreads / 32);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * kNormsThreads + threadIdx.x) / 32;
       row < p.rows; row += warps) {
    std::int64_t const b = row / p.bias_stride, j = row - b * p.bias_stride;
    if (j >= p.k) {
      if (lane == 0) p.bias[row] = -kInfinity<acc>;
      continue;
    }
    acc const* const c = p.c.problem(b) + j * p.c.ld;
    double squares = 0;
    if constexpr (is_half_v<T>) {
      T* const operand = p.operand + (b * p.k + j) * p.operand_ld;
      for (int i = lane; i < p.operand_ld; i += 32) {
        T const value = narrow<T>(i < p.d ? c[i] : acc{0});
        operand[i] = value;
        double const wide = widen<acc>(value);
        squares += wide * wide;
      }
    } else {
      for (int i = lane; i < p.d; i += 32) squares += static_cast<double>(c[i]) * c[i];
    }
    squares = group_sum(squares, 32);
    if (lane == 0) p.bias[row] = static_cast<acc>(-0.5 * squares);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
