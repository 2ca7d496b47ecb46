// Lengths of points, for the metric that knows directions only.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kDirectionsThreads = 256;

template <class T>
struct directions_params {
  using acc = centroid_t<T>;
  device_matrix<T const> x;  // [b][n][d]
  acc const* weights;        // [b][n] or null
  acc* inverses;             // [b][n] 1 / |x|, 0 for zeros, NaN for what is not finite
  acc* scales;               // [b][n] weight / |x|, likewise; may be inverses
  std::int64_t n, rows;      // of a problem, of all
  std::int32_t d;
  std::int32_t lanes;  // of a row: a power of two up to 32
  bool aligned;        // rows start on 16 bytes
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kDirectionsThreads)
    directions_kernel(directions_params<T> const p) {
  using acc = centroid_t<T>;
  constexpr int V = 16 / sizeof(T);
  int const lane = threadIdx.x % p.lanes;
  std::int64_t const groups = kDirectionsThreads / p.lanes;
  for (std::int64_t first = blockIdx.x * groups; first < p.rows; first += gridDim.x * groups) {
    std::int64_t const row = first + threadIdx.x / p.lanes;
    bool const inside = row < p.rows;
    std::int64_t const read = inside ? row : p.rows - 1, b = read / p.n;
    T const* const x = p.x.problem(b) + (read - b * p.n) * p.x.ld;
    double squares = 0;  // those of float overflow a float
    for (std::int32_t i = lane * V; i < p.d; i += p.lanes * V) {
      pack<T, V> const values = load_padded<V>(x, i, p.d, p.aligned);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        double const value = widen<acc>(values.values[v]);
        squares += value * value;
      }
    }
    squares = group_sum(squares, p.lanes);
    if (lane != 0 || !inside) continue;
    auto const inverse =
        squares == 0 ? acc{0} : static_cast<acc>(1 / sqrt(squares) + (squares - squares));
    p.inverses[row] = inverse;
    if (p.weights != nullptr) p.scales[row] = inverse * p.weights[row];
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
