// From segment sums to centroids: folds a cluster's slots, divides, keeps empty clusters, measures
// the shift.
//
// One block a cluster. `cols` threads stand side by side over the features; where there are more
// threads, they form teams that share the slots of a cluster which spans many chunks.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kFinishThreads = 1024;  // at most; always a multiple of 32

template <class T>
struct finish_params {
  using acc = centroid_t<T>;
  sorted_points sorted;
  acc const* sums;           // [problems * k][d]
  acc const* slots;          // [chunks][2][d]
  double const* folded;      // [chunks / fold][d], kernel_fold.cuh
  device_matrix<acc> c;      // [b][k][d], updated
  double* shifts;            // [b * k], squared distance that each centroid moved
  fit_status const* status;  // [b] or null: problems that have converged stay as they are
  std::uint32_t chunk;
  std::uint32_t fold;  // chunks in one row of folded
  std::int32_t d;
  std::int32_t cols;  // divides the block
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kFinishThreads, 1)
    finish_kernel(finish_params<T> const p) {
  using acc = typename finish_params<T>::acc;
  __shared__ double parts[kFinishThreads];
  __shared__ std::uint32_t bounds[2];
  sorted_points const& s = p.sorted;
  std::uint32_t const problem = blockIdx.x / s.k, label = blockIdx.x - problem * s.k;
  std::int64_t const b = s.first + problem;
  if (p.status != nullptr && p.status[b].converged != 0) return;

  if (threadIdx.x < 2)
    bounds[threadIdx.x] = s.lower_bound(problem * s.buckets + label + threadIdx.x);
  __syncthreads();
  std::uint32_t const begin = bounds[0], count = bounds[1] - bounds[0];
  double* const shift = p.shifts + b * s.k + label;
  if (count == 0) {
    if (threadIdx.x == 0) *shift = 0;
    return;
  }

  std::uint32_t const first = begin / p.chunk, last = (begin + count - 1) / p.chunk;
  // The slots to add, in order: chunks up to a run's border, whole runs, chunks to the end. The
  // last chunk may end in another cluster, so it belongs to no run.
  std::uint32_t const first_run = first / p.fold + 1, last_run = last / p.fold;
  std::uint32_t const runs = last_run > first_run ? last_run - first_run : 0;
  std::uint32_t const head = runs > 0 ? first_run * p.fold - first : last - first + 1;
  std::uint32_t const tail = last_run * p.fold;
  std::uint32_t const pieces = head + runs + (runs > 0 ? last - tail + 1 : 0);

  int const col = threadIdx.x % p.cols, team = threadIdx.x / p.cols, teams = blockDim.x / p.cols;
  acc* const c = p.c.problem(b) + label * p.c.ld;
  double moved = 0;
  for (std::int32_t base = 0; base < p.d; base += p.cols) {
    std::int32_t const i = base + col;
    double part = 0;
    if (i < p.d) {
      if (first == last) {
        if (team == 0) part = p.sums[static_cast<std::int64_t>(blockIdx.x) * p.d + i];
      } else {
#pragma unroll 4
        for (std::uint32_t piece = team; piece < pieces; piece += teams) {
          if (piece < head) {
            part += p.slots[(std::int64_t{first + piece} * 2 + (piece == 0 ? 1 : 0)) * p.d + i];
          } else if (piece < head + runs) {
            part += p.folded[std::int64_t{first_run + (piece - head)} * p.d + i];
          } else {
            part += p.slots[std::int64_t{tail + (piece - head - runs)} * 2 * p.d + i];
          }
        }
      }
    }
    parts[threadIdx.x] = part;
    __syncthreads();
    if (team == 0 && i < p.d) {
      for (int t = 1; t < teams; ++t) part += parts[t * p.cols + col];
      acc const mean = static_cast<acc>(part / count);
      double const difference = static_cast<double>(mean) - c[i];
      c[i] = mean;
      moved += difference * difference;
    }
    __syncthreads();
  }
  moved = block_sum(moved);
  if (threadIdx.x == 0) *shift = moved;
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
