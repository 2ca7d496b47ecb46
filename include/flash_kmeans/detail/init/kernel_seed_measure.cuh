// A step of k-means++ over all points: takes the last centroid into the distances, and sums what
// potentials would be left if each of the step's candidates became the next centroid. On the FMA
// units; kernel_seed_pairs.cuh does the same on the tensor cores.
//
// The last centroid is multiplied once more, as a column beside the candidates: that costs no
// memory traffic, and the distances to all candidates never leave the registers.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "../ptx/prefetch.cuh"
#include "seed_fma.cuh"
#include "seed_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct seed_measure_params {
  seed_points<T> points;
  std::int32_t candidates;
  bool folds;                // there is a last centroid
  std::int32_t const* used;  // [b] or null: points from there on weigh nothing
};

// Asks for 32 rows from `first` on, a row a lane: the loads that need them then wait for the cache
// only. No more of a row than a few lines, so that what was asked for is still there.
template <class T>
__device__ void prefetch_rows(seed_points<T> const& p, T const* x, std::uint32_t first) {
  constexpr std::int32_t kLine = 128 / sizeof(T), kLines = 4;
  auto const n = static_cast<std::uint32_t>(p.n);
  if (first >= n) return;
  T const* const row = x + min(first + threadIdx.x % 32, n - 1) * p.x.ld;
#pragma unroll 1
  for (std::int32_t at = 0; at < min(p.d, kLines * kLine); at += kLine) ptx::prefetch_l2(row + at);
}

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedThreads, 2)
    seed_measure_kernel(seed_measure_params<T> const params) {
  using acc = centroid_t<T>;
  using Products = fma_products<T>;
  constexpr int kRows = Products::kRows, kColumns = Products::kColumns, kLanes = Products::kLanes;
  __shared__ T const* column_rows[Products::kWide];
  __shared__ acc column_norms[Products::kWide];
  seed_points<T> const& p = params.points;
  int const lane = threadIdx.x % 32;
  constexpr int kHalf = kSeedSpan / 2;
  {
    // While the last step's centroid is still being chosen.
    std::int64_t const b = blockIdx.x / p.blocks, j = blockIdx.x - b * p.blocks;
    auto const first = static_cast<std::uint32_t>(j * p.block) + threadIdx.x / 32 * kSeedSpan;
    prefetch_rows(p, p.x.problem(b), first);
  }
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  for (std::int64_t block = blockIdx.x; block < p.count; block += gridDim.x) {
    std::int64_t const b = block / p.blocks, j = block - b * p.blocks;
    T const* const x = p.x.problem(b);
    acc const* const norms = p.norms + b * p.n;
    acc* const nearest = p.nearest + b * p.n;
    auto const end = static_cast<std::uint32_t>(params.used == nullptr ? p.n : params.used[b]);
    // Column 0 is the last centroid.
    for (std::int32_t base = params.folds ? 0 : 1; base <= params.candidates;
         base += Products::kWide) {
      __syncthreads();
      if (threadIdx.x < Products::kWide) {
        std::int32_t const column =
            min(base + static_cast<std::int32_t>(threadIdx.x), params.candidates);
        std::int64_t const point =
            column == 0 ? p.last_centroids(b)[0] : p.candidates(b)[column - 1];
        column_rows[threadIdx.x] = x + point * p.x.ld;
        column_norms[threadIdx.x] = norms[point];
      }
      __syncthreads();
      p.for_own_spans(j, [&](std::uint32_t span) {
        double sums[kColumns] = {};
        prefetch_rows(p, x, span * kSeedSpan + kHalf);
#pragma unroll 1
        for (int tile = 0; tile < kSeedSpan && span * kSeedSpan + tile < end;
             tile += Products::kTile) {
          T const* rows[kRows];
          acc near[kRows], own_norms[kRows];
#pragma unroll
          for (int i = 0; i < kRows; ++i) {
            std::uint32_t const row = span * kSeedSpan + tile + Products::row(i);
            std::uint32_t const read = min(row, end - 1);
            rows[i] = x + read * p.x.ld;
            own_norms[i] = norms[read];
          }
          acc results[kRows][kColumns];
          Products::products(results, rows, column_rows, p);
#pragma unroll
          for (int c = 0; c < kColumns; ++c) {
#pragma unroll
            for (int i = 0; i < kRows; ++i) {
              results[i][c] = Products::distance(results[i][c], own_norms[i],
                                                 column_norms[Products::column(c)], p.cosine);
            }
          }
          // Here and not before the products, for want of registers.
#pragma unroll
          for (int i = 0; i < kRows; ++i) {
            std::uint32_t const row = span * kSeedSpan + tile + Products::row(i);
            near[i] = row < end ? nearest[row] : acc{0};  // which weighs nothing
          }
          if (base == 0) {
#pragma unroll
            for (int i = 0; i < kRows; ++i) {
              acc const last = __shfl_sync(0xffffffffu, results[i][0], lane - lane % kLanes);
              std::uint32_t const row = span * kSeedSpan + tile + Products::row(i);
              if (last < near[i]) {
                near[i] = last;
                if (lane % kLanes == 0 && row < end) nearest[row] = last;
              }
            }
          }
#pragma unroll
          for (int i = 0; i < kRows; ++i) {
            std::uint32_t const row = span * kSeedSpan + tile + Products::row(i);
            acc const weight = p.weights != nullptr && row < end ? p.weight(b, row) : acc{1};
#pragma unroll
            for (int c = 0; c < kColumns; ++c) {
              acc const left = results[i][c] < near[i] ? results[i][c] : near[i];
              sums[c] += seed_potential(weight, left);
            }
          }
        }
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
#pragma unroll
          for (int step = kLanes; step < 32; step *= 2) {
            sums[c] += __shfl_xor_sync(0xffffffffu, sums[c], step);
          }
          std::int32_t const candidate = base + Products::column(c) - 1;
          if (lane < kLanes && candidate >= 0 && candidate < params.candidates) {
            p.sums_of_span(b, span)[candidate] = sums[c];
          }
        }
      });
    }
    p.add_spans(b, j, params.candidates);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
