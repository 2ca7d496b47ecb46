// What the seedings need of the points before the first centroid: norms, which points may be drawn,
// and sums of their weights.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "seed_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct seed_start_params {
  seed_points<T> points;
  std::int32_t* cursors;  // [b], set to 0
};

template <class T, class Products>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedThreads)
    seed_start_kernel(seed_start_params<T> const params) {
  using acc = centroid_t<T>;
  seed_points<T> const& p = params.points;
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  for (std::int64_t block = blockIdx.x; block < p.count; block += gridDim.x) {
    std::int64_t const b = block / p.blocks, j = block - b * p.blocks;
    T const* const x = p.x.problem(b);
    auto const n = static_cast<std::uint32_t>(p.n);
    if (j == 0 && threadIdx.x == 0) params.cursors[b] = p.chosen[b] = 0;
    p.for_own_spans(j, [&](std::uint32_t span) {
      double sum = 0;
#pragma unroll 1
      for (int tile = 0; tile < kSeedSpan; tile += Products::kTile) {
        T const* rows[Products::kRows];
        acc squares[Products::kRows];
#pragma unroll
        for (int i = 0; i < Products::kRows; ++i) {
          std::uint32_t const row = span * kSeedSpan + tile + Products::row(i);
          rows[i] = x + min(row, n - 1) * p.x.ld;
        }
        Products::norms(squares, rows, p);
#pragma unroll
        for (int i = 0; i < Products::kRows; ++i) {
          std::uint32_t const row = span * kSeedSpan + tile + Products::row(i);
          if (threadIdx.x % Products::kLanes == 0 && row < n) {
            acc const norm = p.norm_of(squares[i]);
            bool const good = p.good(norm);
            p.norms[b * p.n + row] = norm;
            p.nearest[b * p.n + row] = good ? kInfinity<acc> : acc{0};
            if (good) sum += static_cast<double>(p.weight(b, row));
          }
        }
      }
      sum = group_sum(sum, 32);
      if (threadIdx.x % 32 == 0) p.sums_of_span(b, span)[0] = sum;
    });
    p.add_spans(b, j, 1);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
