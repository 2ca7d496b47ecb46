// Makes points ready for a screen.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"
#include "screen_rows.cuh"
#include "screen_state.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct screen_points_params {
  device_matrix<T const> x;  // [b][n][d]
  __half* to;                // [b][n][ld], zero from d on; ld a multiple of screened::kVector
  screen_state state;
  std::int64_t ld;
  std::int32_t d;
  std::int64_t parts;  // blocks of a problem
  std::int32_t lanes;  // a row, a power of two <= 32
  bool aligned;        // rows of x start on 16 bytes
};

inline constexpr int kScreenPointsThreads = 256;

// `lanes` lanes a row.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kScreenPointsThreads)
    screen_points_kernel(screen_points_params<T> const p) {
  std::int64_t const b = blockIdx.x / p.parts, part = blockIdx.x - b * p.parts;
  std::int64_t const n = p.state.n;
  T const* const x = p.x.problem(b);
  float const* const mean = p.state.mean + b * p.ld;
  float const scale = p.state.problems[b].scale;
  int const lane = static_cast<int>(threadIdx.x) % p.lanes;
  int const rows = kScreenPointsThreads / p.lanes;  // of a block
  // Whole blocks go round together; a group behind the last row does it again.
  for (std::int64_t first = part * rows; first < n; first += p.parts * rows) {
    std::int64_t const i = min(first + threadIdx.x / p.lanes, n - 1), row = b * n + i;
    T const* const from = x + i * p.x.ld;
    float lost = 0, left = 0;
    for (std::int64_t f = lane * screened::kVector; f < p.ld; f += p.lanes * screened::kVector) {
      screened const some(from, f, p.d, p.aligned, mean, scale);
      *reinterpret_cast<pack<__half, screened::kVector>*>(p.to + row * p.ld + f) = some.halves;
      some.add_squares(lost, left);
    }
    lost = group_sum(lost, p.lanes);
    left = group_sum(left, p.lanes);
    if (lane == 0) p.state.points[row] = {screen_length(lost), screen_length(left)};
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
