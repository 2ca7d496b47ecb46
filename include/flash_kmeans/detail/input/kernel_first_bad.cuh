// The first row of the points that holds a NaN or an infinity.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kFirstBadThreads = 256;

template <class T>
struct first_bad_params {
  device_matrix<T const> x;   // [b][n][d]
  unsigned long long* first;  // lowest problem * n + row, all bits set before
  std::int64_t n, rows;       // of a problem, of all
  std::int32_t d;
  std::int32_t lanes;  // of a row: a power of two up to 32
  bool aligned;        // rows start on 16 bytes
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kFirstBadThreads)
    first_bad_kernel(first_bad_params<T> const p) {
  using acc = centroid_t<T>;
  constexpr int V = 16 / sizeof(T);
  int const lane = threadIdx.x % p.lanes;
  std::int64_t const groups = kFirstBadThreads / p.lanes;
  for (std::int64_t base = blockIdx.x * groups; base < p.rows; base += gridDim.x * groups) {
    std::int64_t const row = base + threadIdx.x / p.lanes;
    // Whole warps go round together; a group beyond the end reads the last row again.
    std::int64_t const read = row < p.rows ? row : p.rows - 1, b = read / p.n;
    T const* const x = p.x.problem(b) + (read - b * p.n) * p.x.ld;
    std::int32_t bad = 0;
    for (std::int32_t i = lane * V; i < p.d; i += p.lanes * V) {
      pack<T, V> const values = load_padded<V>(x, i, p.d, p.aligned);
#pragma unroll
      for (int v = 0; v < V; ++v) bad |= is_finite(widen<acc>(values.values[v])) ? 0 : 1;
    }
    bad = group_sum(bad, p.lanes);
    if (lane == 0 && bad != 0) atomicMin(p.first, static_cast<unsigned long long>(read));
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
