// Copies of rows that k-means|| took; rows beyond them are copies of the first.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "seed_round.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSeedRowsThreads = 256;

template <class T, class To>
struct seed_rows_params {
  device_matrix<T const> x;
  seed_taken taken;
  int first_round, last_round;  // what was taken after one and up to the other; -1: from the first
  centroid_t<T> const* scales;  // [b][n], factors of the copies, or null
  To* to;                       // [b][count][ld]
  std::int64_t n, count, ld, rows;  // rows: over all problems
  std::int32_t d;
};

// One warp a row.
template <class T, class To>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedRowsThreads)
    seed_rows_kernel(seed_rows_params<T, To> const p) {
  using acc = centroid_t<T>;
  std::int64_t const warps = std::int64_t{gridDim.x} * (kSeedRowsThreads / 32);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * kSeedRowsThreads + threadIdx.x) / 32;
       row < p.rows; row += warps) {
    std::int64_t const b = row / p.count, j = row - b * p.count;
    std::int64_t const begin = p.first_round < 0 ? 0 : p.taken.end(b, p.first_round);
    std::int64_t const own = begin + j < p.taken.end(b, p.last_round) ? begin + j : 0;
    std::int64_t const point = p.taken.points[b * p.taken.most + own];
    T const* const from = p.x.problem(b) + point * p.x.ld;
    To* const to = p.to + row * p.ld;
    if constexpr (std::is_same_v<To, acc>) {
      acc const scale = p.scales == nullptr ? acc{1} : p.scales[b * p.n + point];
      for (std::int32_t i = threadIdx.x % 32; i < p.d; i += 32) to[i] = widen<acc>(from[i]) * scale;
    } else {
      for (std::int32_t i = threadIdx.x % 32; i < p.d; i += 32) to[i] = from[i];
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
