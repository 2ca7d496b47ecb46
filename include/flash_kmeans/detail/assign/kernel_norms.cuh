// Makes all centroids of a call ready to be multiplied, before its first assignment. Those that an
// update moves are made ready by update/kernel_finish.cuh, to the same bits.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "operand.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct norms_params {
  using acc = centroid_t<T>;
  device_matrix<acc const> c;  // [b][k][d], masters
  bool aligned;                // their rows start on 16 bytes
  operand_params<T> to;
  std::int64_t rows;  // b * bias_stride
  std::int32_t d;
  std::uint32_t* counters;  // of the sm90 kernel: set to zero, as it leaves them
  std::int32_t counter_count;
};

inline constexpr int kNormsThreads = 256;

// One warp a centroid, padding included.
template <class T, class Form>
FLASH_KMEANS_KERNEL void __launch_bounds__(kNormsThreads) norms_kernel(norms_params<T> const p) {
  using acc = typename norms_params<T>::acc;
  ptx::let_next_grid_start();
  int const lane = threadIdx.x % 32;
  std::int64_t const threads = std::int64_t{gridDim.x} * kNormsThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kNormsThreads + threadIdx.x; i < p.counter_count;
       i += threads) {
    p.counters[i] = 0;
  }
  std::int64_t const warps = std::int64_t{gridDim.x} * (kNormsThreads / 32);
  for (std::int64_t row = std::int64_t{blockIdx.x} * (kNormsThreads / 32) + threadIdx.x / 32;
       row < p.rows; row += warps) {
    std::int64_t const b = row / p.to.bias_stride, j = row - b * p.to.bias_stride;
    double squares = kInfinity<double>;
    if (j < p.to.k) {
      squares = 0;
      acc const* const c = p.c.problem(b) + j * p.c.ld;
      constexpr int V = 16 / sizeof(acc);
      std::int64_t const width = Form::copied ? p.to.ld : p.d;
      for (std::int64_t i = lane * V; i < width; i += 32 * V) {
        add_squares(squares,
                    p.to.template write<Form>(b, j, i, load_padded<V>(c, i, p.d, p.aligned)));
      }
      squares = group_sum(squares, 32);
    }
    if (lane == 0) p.to.write_bias(b, j, squares);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
