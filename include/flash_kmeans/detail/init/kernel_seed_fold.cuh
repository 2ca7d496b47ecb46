// Takes the points of a round of k-means|| into the distances: every point is measured to the one
// of them that its label names, and sums of potentials are made anew.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../reduce.cuh"
#include "seed_fma.cuh"
#include "seed_points.cuh"
#include "seed_round.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct seed_fold_params {
  seed_points<T> points;
  seed_taken taken;
  int round;                   // -1: of the point that was drawn before the rounds
  std::int32_t const* labels;  // [b][n], among the points of the round, then copies of the first
  std::int32_t* owners;        // [b][n], which of the taken points is the nearest
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedThreads)
    seed_fold_kernel(seed_fold_params<T> const params) {
  using acc = centroid_t<T>;
  using products = fma_products<T>;
  constexpr int kRows = products::kRows;
  seed_points<T> const& p = params.points;
  seed_taken const& taken = params.taken;
  bool const is_first = params.round < 0;
  auto const n = static_cast<std::uint32_t>(p.n);
  for (std::int64_t block = blockIdx.x; block < p.count; block += gridDim.x) {
    std::int64_t const b = block / p.blocks, j = block - b * p.blocks;
    T const* const x = p.x.problem(b);
    acc const* const norms = p.norms + b * p.n;
    acc* const nearest = p.nearest + b * p.n;
    std::int32_t const first = p.candidates(b)[0];
    std::int32_t const begin = is_first ? 0 : taken.end(b, params.round);
    std::int32_t const count = is_first ? 1 : taken.end(b, params.round + 1) - begin;
    if (is_first && j == 0 && threadIdx.x == 0) {
      taken.points[b * taken.most] = first;
      taken.ends[b * (1 + kSeedRounds)] = 1;
      taken.used[b] = 1;
    }
    p.for_own_spans(j, [&](std::uint32_t span) {
      double sum = 0;
#pragma unroll 1
      for (int tile = 0; tile < kSeedSpan; tile += products::kTile) {
        T const *rows[kRows], *others[kRows];
        std::int32_t labels[kRows];
        acc other_norms[kRows], results[kRows];
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          std::uint32_t const read = min(span * kSeedSpan + tile + products::row(i), n - 1);
          labels[i] = is_first ? 0 : params.labels[b * p.n + read];
          // The copies have been measured before.
          std::int64_t const other = is_first || labels[i] >= count
                                         ? first
                                         : taken.points[b * taken.most + begin + labels[i]];
          rows[i] = x + read * p.x.ld;
          others[i] = x + other * p.x.ld;
          other_norms[i] = norms[other];
        }
        products::pair_products(results, rows, others, p);
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          std::uint32_t const row = span * kSeedSpan + tile + products::row(i);
          if (threadIdx.x % products::kLanes != 0 || row >= n) continue;
          acc const distance = products::distance(results[i], norms[row], other_norms[i], p.cosine);
          acc near = nearest[row];
          if (is_first) params.owners[b * p.n + row] = 0;
          if (labels[i] < count && distance < near) {
            near = distance;
            nearest[row] = near;
            params.owners[b * p.n + row] = begin + labels[i];
          }
          sum += seed_potential(p.weight(b, row), near);
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
