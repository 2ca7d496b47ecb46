// Copies points into the form that the sm90 kernel reads: rows on 16 bytes, in pieces where a type
// is split.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "pieces.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T, class Operand>
struct pack_params {
  device_matrix<T const> x;  // [b][n][d]
  Operand* to;               // [b][pieces][n][ld], zero from d on
  std::int64_t n, ld;
  std::int32_t d;
  std::int64_t rows;   // b * n
  std::int32_t lanes;  // a row, a power of two <= 32
};

inline constexpr int kPackThreads = 256;

// `lanes` lanes a row. One piece is the point as it is.
template <class T, class Operand, int Pieces>
FLASH_KMEANS_KERNEL void __launch_bounds__(kPackThreads)
    pack_kernel(pack_params<T, Operand> const p) {
  std::int64_t const threads = std::int64_t{gridDim.x} * kPackThreads;
  std::int64_t const first = std::int64_t{blockIdx.x} * kPackThreads + threadIdx.x;
  int const lane = static_cast<int>(first % p.lanes);
  for (std::int64_t row = first / p.lanes; row < p.rows; row += threads / p.lanes) {
    std::int64_t const b = row / p.n, i = row - b * p.n;
    T const* const from = p.x.problem(b) + i * p.x.ld;
    Operand* const to = p.to + (b * Pieces * p.n + i) * p.ld;
    for (std::int32_t f = lane; f < p.ld; f += p.lanes) {
      T const value = f < p.d ? from[f] : T(0.0f);
      if constexpr (Pieces == 1) {
        to[f] = value;
      } else {
        // Infinity has no pieces; as a NaN it spoils its own point only.
        split<Operand, Pieces>(value - value == 0 ? value : value - value, to + f, p.n * p.ld);
      }
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
