// The state before the first iteration.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../device_matrix.cuh"
#include "state.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kStartThreads = 256;

struct start_params {
  fit_status* status;       // [b]
  double* thresholds;       // [b], set to 0 for as long as nothing else is known; null: known
  std::int32_t* running;    // set to b
  std::int32_t* rounds;     // set to 0
  std::uint32_t* counters;  // of the update: set to zero
  std::int64_t b, counter_count;
};

template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) start_kernel(start_params const p) {
  std::int64_t const first = std::int64_t{blockIdx.x} * Threads + threadIdx.x;
  std::int64_t const threads = std::int64_t{gridDim.x} * Threads;
  if (first == 0) {
    *p.running = static_cast<std::int32_t>(p.b);
    *p.rounds = 0;
  }
  for (std::int64_t i = first; i < p.b; i += threads) {
    p.status[i] = {kNaN<double>, kNaN<double>, 0, 0, 0};
    if (p.thresholds != nullptr) p.thresholds[i] = 0;
  }
  for (std::int64_t i = first; i < p.counter_count; i += threads) p.counters[i] = 0;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
