// Variance of the features of every problem, for the tolerance.
//
// A thread walks down one column of a chunk of rows. It sums deviations from a value near the mean,
// the average of its first rows, so that data far from the origin does not cancel. A value that is
// not finite counts as that value near the mean. Threads and chunks meet in double as (mean, squared deviations), combined in a fixed order by
// threshold_kernel.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "moments.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kVarianceThreads = 256;

template <class T>
struct variance_params {
  device_matrix<T const> x;     // [b][n][d]
  centroid_t<T> const* scales;  // [b][n] factors of rows, or null
  column_moments* moments;      // [b][chunks_per_problem][d]
  std::int64_t n;
  std::int32_t d;
  std::int32_t cols;   // neighbouring threads on neighbouring columns; divides the block
  std::int64_t chunk;  // rows
  std::int64_t chunks_per_problem;
  std::int64_t chunks;  // over all problems
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kVarianceThreads, 2)
    variance_kernel(variance_params<T> const p) {
  using acc = centroid_t<T>;
  constexpr int kRows = 16;  // summed in acc before they are added in double
  __shared__ double counts[kVarianceThreads];
  __shared__ column_moments parts[kVarianceThreads];
  int const col = threadIdx.x % p.cols, team = threadIdx.x / p.cols,
            teams = kVarianceThreads / p.cols;
  for (std::int64_t chunk = blockIdx.x; chunk < p.chunks; chunk += gridDim.x) {
    std::int64_t const b = chunk / p.chunks_per_problem;
    std::int64_t const first = (chunk - b * p.chunks_per_problem) * p.chunk;
    std::int64_t const last = first + p.chunk < p.n ? first + p.chunk : p.n;
    T const* const x = p.x.problem(b);
    for (std::int32_t base = 0; base < p.d; base += p.cols) {
      std::int32_t const i = base + col;
      double count = 0, center = 0, sum = 0, squares = 0;
      if (i < p.d) {
        for (std::int64_t row = first + team; row < last; row += std::int64_t{teams} * kRows) {
          acc values[kRows];
          int rows = 0;
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
            std::int64_t const at = row + std::int64_t{r} * teams;
            bool const inside = at < last;
            values[r] = inside ? widen<acc>(x[at * p.x.ld + i]) : acc{0};
            if (p.scales != nullptr && inside) values[r] *= p.scales[b * p.n + at];
            rows += inside;
          }
          if (count == 0) {
            acc first_sum = 0;
#pragma unroll
            for (int r = 0; r < kRows; ++r) first_sum += is_finite(values[r]) ? values[r] : acc{0};
            center = static_cast<acc>(first_sum / rows);
          }
          acc const around = static_cast<acc>(center);
          acc part = 0, part_squares = 0;
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
            acc const deviation = r < rows && is_finite(values[r]) ? values[r] - around : acc{0};
            part += deviation;
            part_squares += deviation * deviation;
          }
          count += rows;
          sum += part;
          squares += part_squares;
        }
      }
      counts[threadIdx.x] = count;
      parts[threadIdx.x] = count > 0
                               ? column_moments{center + sum / count, squares - sum * sum / count}
                               : column_moments{0, 0};
      __syncthreads();
      if (team == 0 && i < p.d) {
        double total = 0, mean = 0, deviations = 0;
        for (int t = 0; t < teams; ++t) {
          total += counts[t * p.cols + col];
          mean += counts[t * p.cols + col] * parts[t * p.cols + col].mean;
        }
        mean /= total;
        for (int t = 0; t < teams; ++t) {
          double const away = parts[t * p.cols + col].mean - mean;
          deviations += parts[t * p.cols + col].deviations + counts[t * p.cols + col] * away * away;
        }
        p.moments[chunk * p.d + i] = {mean, deviations};
      }
      __syncthreads();
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
