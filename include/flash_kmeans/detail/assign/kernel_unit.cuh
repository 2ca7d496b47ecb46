// Centroids scaled to length 1, as the cosine metric multiplies them.
//
// One that has length 1 but for rounding stays as it is, so that what a fit leaves behind is what it
// multiplied itself. One of zeros stays zeros.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class Acc>
struct unit_params {
  device_matrix<Acc const> c;  // [b][k][d]
  device_matrix<Acc> to;       // [b][k][d]; may be c
  bool aligned;                // rows of both start on 16 bytes
  std::int64_t rows;           // b * k
  std::int32_t k, d;
};

inline constexpr int kUnitThreads = 256;

// One warp a centroid.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kUnitThreads) unit_kernel(unit_params<Acc> const p) {
  constexpr int V = 16 / sizeof(Acc);
  int const lane = threadIdx.x % 32;
  std::int64_t const warps = std::int64_t{gridDim.x} * (kUnitThreads / 32);
  for (std::int64_t row = std::int64_t{blockIdx.x} * (kUnitThreads / 32) + threadIdx.x / 32;
       row < p.rows; row += warps) {
    std::int64_t const b = row / p.k, j = row - b * p.k;
    Acc const* const from = p.c.problem(b) + j * p.c.ld;
    Acc* const to = p.to.problem(b) + j * p.to.ld;
    // A power of two brings squares of doubles into range; those of floats are in range in double.
    int exponent = 0;
    auto scaled = [&](Acc value) {
      if constexpr (std::is_same_v<Acc, double>) return ldexp(value, -exponent);
      return static_cast<double>(value);
    };
    if constexpr (std::is_same_v<Acc, double>) {
      double largest = 0;
      for (std::int32_t i = lane; i < p.d; i += 32) largest = fmax(largest, fabs(from[i]));
      for (int step = 16; step > 0; step /= 2) {
        largest = fmax(largest, __shfl_xor_sync(0xffffffffu, largest, step));
      }
      if (largest > 0 && largest < kInfinity<double>) frexp(largest, &exponent);
    }
    double squares = 0;
    for (std::int32_t i = lane; i < p.d; i += 32) {
      double const value = scaled(from[i]);
      squares += value * value;
    }
    squares = group_sum(squares, 32);
    // Each value is off by u of its type at most, and the sum by u of double an addition.
    constexpr double kRoundoff = std::is_same_v<Acc, double> ? 0x1p-53 : 0x1p-24;
    double const slack = 8 * kRoundoff + p.d / 32 * 0x1p-53;
    double const length = sqrt(squares);
    bool const stays = squares == 0 || fabs(ldexp(squares, 2 * exponent) - 1) <= slack;
    for (std::int32_t i = lane * V; i < p.d; i += 32 * V) {
      pack<Acc, V> values = load_padded<V>(from, i, p.d, p.aligned);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        // What holds an infinity becomes NaN as a whole.
        double const value = scaled(values.values[v]) / length + (squares - squares);
        if (!stays) values.values[v] = static_cast<Acc>(value);
      }
      store_padded<V>(values, to, i, p.d, p.aligned);
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
