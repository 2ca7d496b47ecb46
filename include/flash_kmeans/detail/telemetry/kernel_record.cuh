// Writes the records of the problems that have just ended an iteration.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../reduce.cuh"
#include "counts.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kRecordThreads = 256;

struct record_params {
  fit_status const* status;   // [b]
  std::int32_t* marks;        // [b][k], of track_kernel; zero afterwards
  iteration_counts* counts;   // [b]
  iteration_record* records;  // [b][most]
  std::int64_t b, k, most;
};

// A block a problem. Which iteration it was, the status says: the host does not know in a loop of a
// graph. Problems that have converged before have no more iterations than records.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) record_kernel(record_params const p) {
  for (std::int64_t b = blockIdx.x; b < p.b; b += gridDim.x) {
    iteration_counts& own = p.counts[b];
    std::int64_t const iterations = p.status[b].iterations;
    if (iterations <= own.written) continue;
    std::int32_t* const marks = p.marks + b * p.k;
    double empty = 0;  // whole numbers
    for (std::int64_t j = threadIdx.x; j < p.k; j += Threads) {
      empty += marks[j] == 0 ? 1 : 0;
      marks[j] = 0;
    }
    empty = block_sum(empty);
    if (threadIdx.x == 0) {
      p.records[b * p.most + iterations - 1] = {own.inertia, p.status[b].shift,
                                                static_cast<std::int64_t>(own.moved),
                                                static_cast<std::int64_t>(empty)};
      own.moved = 0;
      own.written = iterations;
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
