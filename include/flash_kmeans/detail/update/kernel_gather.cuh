// Rows in another order.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kGatherThreads = 256;

template <class Piece>
struct gather_params {
  device_matrix<Piece const> from;  // [b][n][width]
  device_matrix<Piece> to;          // [b][n][width]
  std::int32_t const* order;        // [b][n] row of `from`
  std::int64_t n, rows;             // rows: b * n
  std::int64_t width;
  std::int32_t lanes;  // a row, a power of two <= 32
};

template <class Piece>
FLASH_KMEANS_KERNEL void __launch_bounds__(kGatherThreads)
    gather_kernel(gather_params<Piece> const p) {
  std::int64_t const threads = std::int64_t{gridDim.x} * kGatherThreads;
  std::int64_t const first = std::int64_t{blockIdx.x} * kGatherThreads + threadIdx.x;
  std::int64_t const lane = first % p.lanes;
  for (std::int64_t row = first / p.lanes; row < p.rows; row += threads / p.lanes) {
    std::int64_t const b = row / p.n, i = row - b * p.n;
    Piece const* const from = p.from.problem(b) + p.order[row] * p.from.ld;
    Piece* const to = p.to.problem(b) + i * p.to.ld;
    for (std::int64_t f = lane; f < p.width; f += p.lanes) to[f] = from[f];
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
