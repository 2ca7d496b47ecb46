// The shift at which a problem counts as converged: tolerance x mean over features of their
// variance.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../reduce.cuh"
#include "moments.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kThresholdThreads = 1024;

struct threshold_params {
  column_moments const* moments;  // [b][chunks_per_problem][d]
  double const* counts;           // [b][chunks_per_problem] rows that these are of
  double* thresholds;             // [b]
  double tolerance;
  std::int32_t d;
  std::int32_t cols;  // as in kernel_variance.cuh; divides the block
  std::int64_t chunks_per_problem;
  std::int64_t b;
};

// One block a problem. Teams of threads share the chunks of a column: once for its mean, once for
// the deviations.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) threshold_kernel(threshold_params const p) {
  __shared__ double parts[Threads];
  int const col = threadIdx.x % p.cols, team = threadIdx.x / p.cols, teams = Threads / p.cols;
  auto team_sum = [&](double part) {  // every thread gets its column's
    __syncthreads();
    parts[threadIdx.x] = part;
    __syncthreads();
    double total = 0;
    for (int t = 0; t < teams; ++t) total += parts[t * p.cols + col];
    return total;
  };
  for (std::int64_t b = blockIdx.x; b < p.b; b += gridDim.x) {
    __shared__ double shared_rows;
    double const rows_sum =
        block_strided_sum(p.counts + b * p.chunks_per_problem, p.chunks_per_problem);
    if (threadIdx.x == 0) shared_rows = rows_sum;
    __syncthreads();
    double const rows = shared_rows;
    double deviations = 0;
    for (std::int32_t base = 0; base < p.d; base += p.cols) {
      std::int32_t const i = base + col;
      column_moments const* const moments = p.moments + b * p.chunks_per_problem * p.d + i;
      auto over_chunks = [&](auto term) {
        double sum = 0;
        if (i < p.d) {
          for (std::int64_t c = team; c < p.chunks_per_problem; c += teams) {
            sum += term(moments[c * p.d], p.counts[b * p.chunks_per_problem + c]);
          }
        }
        return sum;
      };
      double const mean = team_sum(over_chunks([](column_moments const& m, double count) {
                            return m.mean * count;
                          })) /
                          rows;
      double const part = over_chunks([&](column_moments const& m, double count) {
        return m.deviations + count * (m.mean - mean) * (m.mean - mean);
      });
      double const column = team_sum(part);
      if (team == 0) deviations += column;
    }
    deviations = block_sum(deviations);
    if (threadIdx.x == 0) {
      p.thresholds[b] = rows > 0 ? p.tolerance * (deviations / (rows * p.d)) : 0;
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
