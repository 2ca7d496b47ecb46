// The by-products that callers may ask for: counts, offsets, order and inverse, per problem.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kIndexThreads = 256;

struct index_params {
  sorted_points sorted;
  cluster_index index;      // of the whole batch
  std::int64_t boundaries;  // problems * (k + 1)
};

// One thread a sorted point and one a boundary between clusters.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) index_kernel(index_params const p) {
  sorted_points const& s = p.sorted;
  std::int64_t const i = std::int64_t{blockIdx.x} * Threads + threadIdx.x;
  if (i < s.count) {
    std::uint32_t const at = s.order[i], problem = at / s.n;
    std::int64_t const base = (s.first + problem) * s.n;
    std::int32_t const position = static_cast<std::int32_t>(i - std::int64_t{problem} * s.n);
    std::int32_t const point = static_cast<std::int32_t>(at - problem * s.n);
    if (p.index.order != nullptr) p.index.order[base + position] = point;
    if (p.index.inverse != nullptr) p.index.inverse[base + point] = position;
  }
  if (i < p.boundaries && (p.index.offsets != nullptr || p.index.counts != nullptr)) {
    std::uint32_t const problem = static_cast<std::uint32_t>(i / (s.k + 1));
    std::uint32_t const label = static_cast<std::uint32_t>(i - std::int64_t{problem} * (s.k + 1));
    std::uint32_t const key = problem * s.buckets + label;
    std::uint32_t const begin = s.lower_bound(problem, key);
    if (p.index.offsets != nullptr) {
      p.index.offsets[s.first * (s.k + 1) + i] = static_cast<std::int32_t>(begin - problem * s.n);
    }
    if (p.index.counts != nullptr && label < s.k) {
      p.index.counts[(s.first + problem) * s.k + label] =
          static_cast<std::int32_t>(s.lower_bound(problem, key + 1) - begin);
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
