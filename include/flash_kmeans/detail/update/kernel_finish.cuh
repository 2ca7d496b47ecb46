// From segment sums to centroids: folds a cluster's slots, divides, keeps empty clusters, measures
// the shift.
//
// One block a cluster. `cols` threads stand side by side over the features; where there are more,
// they form teams that share the slots of a cluster which spans many chunks. The slots are always
// dealt out to kFinishShares sums, however many teams there are, so the size of the block changes
// no bit.
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
inline constexpr int kFinishColumns = 256;   // at most
inline constexpr int kFinishShares = 8;

template <class T>
struct finish_params {
  using acc = centroid_t<T>;
  sorted_points sorted;
  acc const* sums;           // [problems * k][d]
  acc const* slots;          // [chunks][2][d]
  double const* folded;      // [problems][runs_per_problem][d], kernel_fold.cuh
  device_matrix<acc> c;      // [b][k][d], updated
  double* shifts;            // [b * k], squared distance that each centroid moved
  fit_status const* status;  // [b] or null: problems that have converged stay as they are
  chunking chunks;
  std::int32_t d;
  std::int32_t cols;  // divides the block
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kFinishThreads, 1)
    finish_kernel(finish_params<T> const p) {
  using acc = typename finish_params<T>::acc;
  __shared__ double parts[kFinishShares][kFinishColumns];
  __shared__ std::uint32_t bounds[2];
  sorted_points const& s = p.sorted;
  std::uint32_t const problem = blockIdx.x / s.k, label = blockIdx.x - problem * s.k;
  std::int64_t const b = s.first + problem;
  if (p.status != nullptr && p.status[b].converged != 0) return;

  if (threadIdx.x < 2)
    bounds[threadIdx.x] = s.lower_bound(problem, problem * s.buckets + label + threadIdx.x);
  __syncthreads();
  std::uint32_t const begin = bounds[0], count = bounds[1] - bounds[0];
  double* const shift = p.shifts + b * s.k + label;
  if (count == 0) {
    if (threadIdx.x == 0) *shift = 0;
    return;
  }

  // Chunks and runs count inside the problem.
  std::uint32_t const fold = p.chunks.fold, position = begin - problem * s.n;
  std::uint32_t const first = position / p.chunks.chunk;
  std::uint32_t const last = (position + count - 1) / p.chunks.chunk;
  // The slots to add, in order: chunks up to a run's border, whole runs, chunks to the end. The
  // last chunk may end in another cluster, so it belongs to no run.
  std::uint32_t const first_run = first / fold + 1, last_run = last / fold;
  std::uint32_t const runs = last_run > first_run ? last_run - first_run : 0;
  std::uint32_t const head = runs > 0 ? first_run * fold - first : last - first + 1;
  std::uint32_t const tail = last_run * fold;
  std::uint32_t const pieces = head + runs + (runs > 0 ? last - tail + 1 : 0);
  acc const* const slots = p.slots + std::int64_t{problem} * p.chunks.per_problem * 2 * p.d;
  double const* const folded = p.folded + std::int64_t{problem} * p.chunks.runs_per_problem() * p.d;
  auto piece_sum = [&](std::uint32_t piece, std::int32_t i) -> double {
    if (piece < head)
      return slots[(std::int64_t{first + piece} * 2 + (piece == 0 ? 1 : 0)) * p.d + i];
    if (piece < head + runs) return folded[std::int64_t{first_run + (piece - head)} * p.d + i];
    return slots[std::int64_t{tail + (piece - head - runs)} * 2 * p.d + i];
  };

  int const col = threadIdx.x % p.cols, team = threadIdx.x / p.cols, teams = blockDim.x / p.cols;
  acc* const c = p.c.problem(b) + label * p.c.ld;
  double moved = 0;
  for (std::int32_t base = 0; base < p.d; base += p.cols) {
    std::int32_t const i = base + col;
    if (i < p.d && first != last) {
      for (int share = team; share < kFinishShares; share += teams) {
        double part = 0;
#pragma unroll 4
        for (std::uint32_t piece = share; piece < pieces; piece += kFinishShares)
          part += piece_sum(piece, i);
        parts[share][col] = part;
      }
    }
    __syncthreads();
    if (team == 0 && i < p.d) {
      double sum = 0;
      if (first == last) {
        sum = p.sums[static_cast<std::int64_t>(blockIdx.x) * p.d + i];
      } else {
        for (int share = 0; share < kFinishShares; ++share) sum += parts[share][col];
      }
      acc const mean = static_cast<acc>(sum / count);
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
