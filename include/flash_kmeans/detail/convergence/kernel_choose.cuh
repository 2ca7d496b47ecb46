// Chooses for each problem the fit with the lowest inertia, of several that were seeded differently.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kChooseThreads = 256;

struct choose_params {
  fit_status const* status;  // [copies][problems]
  fit_status* best;          // [problems], of earlier rounds
  std::int32_t* chosen;      // [problems] the copy that is better than the best, or -1
  std::int64_t problems, copies;
  bool first;  // round: there is no best
};

// One thread a problem. Of equals the first is kept; a NaN is above all.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) choose_kernel(choose_params const p) {
  std::int64_t const problem = std::int64_t{blockIdx.x} * Threads + threadIdx.x;
  if (problem >= p.problems) return;
  fit_status best = p.first ? p.status[problem] : p.best[problem];
  std::int32_t chosen = p.first ? 0 : -1;
  for (std::int64_t i = 0; i < p.copies; ++i) {
    fit_status const other = p.status[i * p.problems + problem];
    if (other.inertia < best.inertia ||
        (best.inertia != best.inertia && other.inertia == other.inertia)) {
      best = other;
      chosen = static_cast<std::int32_t>(i);
    }
  }
  p.best[problem] = best;
  p.chosen[problem] = chosen;
}

struct status_params {
  fit_status const* from;  // [problems]
  fit_status* to;
  std::int64_t problems;
};

// What iterations said; points that are not finite are counted again.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) status_kernel(status_params const p) {
  std::int64_t const problem = std::int64_t{blockIdx.x} * Threads + threadIdx.x;
  if (problem >= p.problems) return;
  fit_status status = p.from[problem];
  status.non_finite = 0;
  p.to[problem] = status;
}

template <class Acc>
struct take_params {
  device_matrix<Acc const> from;  // [copies * problems][k][d]
  device_matrix<Acc> to;          // [problems][k][d]
  std::int32_t const* chosen;     // [problems] copy, or -1: nothing is taken
  std::int64_t problems, rows;    // rows: problems * k
  std::int32_t k, d;
};

// The centroids of the chosen fits. One warp a centroid.
template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kChooseThreads) take_kernel(take_params<Acc> const p) {
  std::int64_t const warps = std::int64_t{gridDim.x} * (kChooseThreads / 32);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * kChooseThreads + threadIdx.x) / 32;
       row < p.rows; row += warps) {
    std::int64_t const problem = row / p.k, j = row - problem * p.k;
    std::int32_t const copy = p.chosen[problem];
    if (copy < 0) continue;
    Acc const* const from = p.from.problem(copy * p.problems + problem) + j * p.from.ld;
    Acc* const to = p.to.problem(problem) + j * p.to.ld;
    for (std::int32_t i = threadIdx.x % 32; i < p.d; i += 32) to[i] = from[i];
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
