// Variance of the features of every problem, for the tolerance.
//
// A thread walks down one column of a chunk of rows. It sums deviations from a value near the mean,
// the average of its first rows, so that data far from the origin does not cancel; threads and
// chunks meet in double as (mean, squared deviations), combined in a fixed order by
// threshold_kernel. Where a chunk has a value that is not finite, it is walked through again without
// the rows that have one.
#pragma once

#include <cstdint>
#include <type_traits>

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
  centroid_t<T> const* scales;  // [b][n] factors of rows, if they have any
  column_moments* moments;      // [b][chunks_per_problem][d]
  double* counts;               // [b][chunks_per_problem] rows that were taken
  std::int64_t n;
  std::int32_t d;
  std::int32_t cols;   // neighbouring threads on neighbouring columns; divides the block
  std::int64_t chunk;  // rows
  std::int64_t chunks_per_problem;
  std::int64_t chunks;  // over all problems
};

// Scaled: rows have factors.
template <class T, bool Scaled>
FLASH_KMEANS_KERNEL void __launch_bounds__(kVarianceThreads, Scaled || sizeof(T) == 8 ? 2 : 3)
    variance_kernel(variance_params<T> const p) {
  using acc = centroid_t<T>;
  constexpr int kRows = 16;  // summed in acc before they are added in double
  __shared__ double counts[kVarianceThreads];
  __shared__ column_moments parts[kVarianceThreads];
  __shared__ bool finite_rows[kVarianceThreads * kRows];  // of those that the block is at
  int const col = threadIdx.x % p.cols, team = threadIdx.x / p.cols,
            teams = kVarianceThreads / p.cols;
  for (std::int64_t chunk = blockIdx.x; chunk < p.chunks; chunk += gridDim.x) {
    std::int64_t const b = chunk / p.chunks_per_problem;
    std::int64_t const first = (chunk - b * p.chunks_per_problem) * p.chunk;
    std::int64_t const last = first + p.chunk < p.n ? first + p.chunk : p.n;
    T const* const x = p.x.problem(b);
    auto const value_at = [&](std::int64_t row, std::int32_t i) {
      acc const value = widen<acc>(x[row * p.x.ld + i]);
      return Scaled ? value * p.scales[b * p.n + row] : value;
    };
    // Which of the next rows are finite. By all threads.
    auto const look = [&](std::int64_t from) {
      __syncthreads();
      int const rows = teams * kRows;
      for (int r = threadIdx.x / 32; r < rows; r += kVarianceThreads / 32) {
        bool finite = true;
        for (std::int32_t i = threadIdx.x % 32; from + r < last && i < p.d; i += 32) {
          finite &= is_finite(value_at(from + r, i));
        }
        finite = __all_sync(0xffffffffu, finite);
        if (threadIdx.x % 32 == 0) finite_rows[r] = finite;
      }
      __syncthreads();
    };
    // Looking, rows that are not finite are left out. Returns whether all values were finite.
    auto const walk = [&](auto whether) {
      constexpr bool kLooks = decltype(whether)::value;
      bool all_finite = true;
      for (std::int32_t base = 0; base < p.d; base += p.cols) {
        std::int32_t const i = base + col;
        double count = 0, center = 0, sum = 0, squares = 0;
        for (std::int64_t from = first; from < last; from += std::int64_t{teams} * kRows) {
          if (kLooks) look(from);
          if (i >= p.d || from + team >= last) continue;
          if constexpr (kLooks) {
            for (int at = team; at < kRows * teams && from + at < last; at += teams) {
              if (!finite_rows[at]) continue;
              double const value = value_at(from + at, i);
              if (count == 0) center = value;
              ++count;
              sum += value - center;
              squares += (value - center) * (value - center);
            }
            continue;
          }
          acc values[kRows];
          int rows = 0;
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
            std::int64_t const at = from + r * teams + team;
            values[r] = at < last ? widen<acc>(x[at * p.x.ld + i]) : acc{0};
            rows += at < last;
          }
          if constexpr (Scaled) {  // apart, so that all reads are on their way
#pragma unroll
            for (int r = 0; r < kRows; ++r) {
              if (r < rows) values[r] *= p.scales[b * p.n + from + r * teams + team];
            }
          }
          if (count == 0) {
            acc first_sum = 0;
#pragma unroll
            for (int r = 0; r < kRows; ++r) first_sum += values[r];
            center = static_cast<acc>(first_sum / rows);
          }
          acc const around = static_cast<acc>(center);
          acc part = 0, part_squares = 0;
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
            acc const deviation = r < rows ? values[r] - around : acc{0};
            part += deviation;
            part_squares += deviation * deviation;
          }
          count += rows;
          sum += part;
          squares += part_squares;
        }
        // Squares of finite values that overflow look the same, but looking twice does no harm.
        all_finite &= is_finite(squares);
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
          mean = total > 0 ? mean / total : 0;
          for (int t = 0; t < teams; ++t) {
            double const away = parts[t * p.cols + col].mean - mean;
            deviations +=
                parts[t * p.cols + col].deviations + counts[t * p.cols + col] * away * away;
          }
          p.moments[chunk * p.d + i] = {mean, deviations};
          if (i == 0) p.counts[chunk] = total;
        }
        __syncthreads();
      }
      return __syncthreads_and(all_finite) != 0;
    };
    if (!walk(std::false_type{})) walk(std::true_type{});
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
