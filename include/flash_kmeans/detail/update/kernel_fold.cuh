// Shortens the slots of clusters that span very many chunks, so that no block of kernel_finish.cuh
// has a long row to add.
//
// Chunks are taken kFold at a time. Where such a run lies inside one cluster that began before it,
// its slots are added up in order into one row of `folded`; everywhere else there is nothing to do.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kFoldThreads = 128;
inline constexpr std::uint32_t kFold = 64;

template <class Acc>
struct fold_params {
  Acc const* slots;            // [chunks][2][d]
  std::uint8_t const* within;  // [chunks], kernel_segments.cuh
  double* folded;              // [problems][runs_per_problem][d]
  fit_status const* status;    // [b] or null: problems that have converged need no sums
  std::int64_t first;          // problem of the call that the group begins with
  chunking chunks;
  std::int32_t d;
};

// One block a run of kFold chunks.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kFoldThreads) fold_kernel(fold_params<Acc> const p) {
  std::uint32_t const runs = p.chunks.runs_per_problem();
  std::uint32_t const problem = blockIdx.x / runs, run = blockIdx.x - problem * runs;
  if (p.status != nullptr && p.status[p.first + problem].converged != 0) return;
  std::int64_t const first = std::int64_t{problem} * p.chunks.per_problem + run * kFold;
  if (!__syncthreads_and(threadIdx.x >= kFold || p.within[first + threadIdx.x] != 0)) return;
  for (std::int32_t i = threadIdx.x; i < p.d; i += kFoldThreads) {
    double sum = 0;
#pragma unroll 8
    for (std::uint32_t c = 0; c < kFold; ++c) sum += p.slots[(first + c) * 2 * p.d + i];
    p.folded[std::int64_t{blockIdx.x} * p.d + i] = sum;
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
