// What the points weigh together that are nearest to each point that k-means|| took, as integers in
// units of weight_unit.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "seed_round.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class T>
struct seed_weigh_params {
  seed_points<T> points;
  std::int32_t const* owners;  // [b][n]
  double const* totals;        // [b], sums of weights; of no use where points weigh 1
  unsigned long long* sums;    // [b][most], zero before
  std::int64_t most;
  std::int64_t all;  // points over all problems
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedThreads)
    seed_weigh_kernel(seed_weigh_params<T> const p) {
  std::int64_t const threads = std::int64_t{gridDim.x} * kSeedThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kSeedThreads + threadIdx.x; i < p.all;
       i += threads) {
    if (!p.points.good(p.points.norms[i])) continue;
    std::int64_t const b = i / p.points.n;
    unsigned long long weight = 1;
    if (p.points.weights != nullptr) {
      weight = static_cast<unsigned long long>(static_cast<double>(p.points.weights[i]) /
                                               weight_unit(p.totals[b]));
    }
    if (weight > 0) atomicAdd(p.sums + b * p.most + p.owners[i], weight);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
