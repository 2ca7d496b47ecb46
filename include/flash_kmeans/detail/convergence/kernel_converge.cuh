// Closes an iteration: adds up the shifts of a problem's centroids and decides whether it has
// converged.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../reduce.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kConvergeThreads = 256;

struct converge_params {
  double const* shifts;      // [b][k]
  double const* thresholds;  // [b]
  fit_status* status;        // [b]
  std::int32_t* running;     // problems that have not converged
  std::int64_t k;
  std::int64_t b;
};

// One block a problem.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) converge_kernel(converge_params const p) {
  for (std::int64_t b = blockIdx.x; b < p.b; b += gridDim.x) {
    fit_status& status = p.status[b];
    if (status.converged != 0) continue;
    double const shift = block_strided_sum<Threads>(p.shifts + b * p.k, p.k);
    if (threadIdx.x == 0) {
      status.shift = shift;
      ++status.iterations;
      if (shift <= p.thresholds[b]) {
        status.converged = 1;
        atomicSub(p.running, 1);
      }
    }
  }
}

// The state before the first iteration.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) converge_start_kernel(converge_params const p) {
  std::int64_t const i = std::int64_t{blockIdx.x} * Threads + threadIdx.x;
  if (i == 0) *p.running = static_cast<std::int32_t>(p.b);
  if (i < p.b) {
    double const nan = __longlong_as_double(0x7ff8000000000000);
    p.status[i] = {nan, nan, 0, 0};
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
