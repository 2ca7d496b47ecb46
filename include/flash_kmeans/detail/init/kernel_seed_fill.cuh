// Where the rounds of k-means|| took fewer points than there are centroids: all of them become
// centroids, in the order in which they were taken, and random draws join them.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "random_points.cuh"
#include "seed_points.cuh"
#include "seed_round.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct seed_fill_params {
  random_params<T> draws;
  seed_taken taken;
  centroid_t<T>* nearest;       // [b][n], where points become kChosen
  std::int32_t const* cursors;  // [b], negative where no point may be taken at all
};

// One block a problem.
template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kRandomThreads)
    seed_fill_kernel(seed_fill_params<T> const p) {
  using acc = centroid_t<T>;
  random_params<T> const& draws = p.draws;
  std::int64_t const b = blockIdx.x;
  if (p.taken.used[b] >= draws.k) return;
  std::int32_t const used = p.cursors[b] < 0 ? 0 : p.taken.used[b];
  acc* const nearest = p.nearest + b * draws.n;
  T const* const x = draws.x.problem(b);
  acc* const c = draws.c.problem(b);
  for (std::int64_t j = threadIdx.x / 32; j < used; j += kRandomThreads / 32) {
    std::int64_t const point = p.taken.points[b * p.taken.most + j];
    for (std::int32_t i = threadIdx.x % 32; i < draws.d; i += 32) {
      c[j * draws.c.ld + i] = widen<acc>(x[point * draws.x.ld + i]);
    }
    if (threadIdx.x % 32 == 0) nearest[point] = kChosen<acc>;
  }
  __syncthreads();
  draws.draw_rest(b, used, [&](std::int64_t point) { return nearest[point] != kChosen<acc>; });
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
