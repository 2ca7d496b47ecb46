// Weights of the points that k-means|| took, from what seed_weigh_kernel has added up.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "seed_round.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

template <class Acc>
struct seed_weights_params {
  unsigned long long const* sums;  // [b][most]
  double const* totals;            // [b] or null: sums are weights
  Acc* weights;                    // [b][most]
  std::int64_t most, all;          // all: b * most
};

template <class Acc>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedThreads)
    seed_weights_kernel(seed_weights_params<Acc> const p) {
  std::int64_t const threads = std::int64_t{gridDim.x} * kSeedThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kSeedThreads + threadIdx.x; i < p.all;
       i += threads) {
    double const unit = p.totals == nullptr ? 1.0 : weight_unit(p.totals[i / p.most]);
    p.weights[i] = static_cast<Acc>(static_cast<double>(p.sums[i]) * unit);
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
