// From points sorted by (problem, bucket) to the offsets of every problem, and by-products.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kUnpackThreads = 256;

struct unpack_params {
  std::uint32_t const* keys;    // [problems][n] ascending, problem * buckets + bucket
  std::uint32_t const* points;  // [problems][n] problem * n + point
  std::uint32_t* offsets;       // [problems][buckets + 1]
  cluster_index index;          // of the whole batch, by-products for the caller
  std::uint32_t count;          // problems * n; 0: no by-product asks for the points
  std::uint32_t n, k, buckets;
  std::int64_t boundaries;  // problems * (buckets + 1)
  std::int64_t first;       // problem of the call that the group begins with

  // Position in its problem of the first key that is not below `key`.
  __device__ std::uint32_t lower_bound(std::uint32_t problem, std::uint32_t key) const {
    std::uint32_t const* const own = keys + std::int64_t{problem} * n;
    std::uint32_t low = 0, length = n;
    while (length > 0) {
      std::uint32_t const half = length / 2;
      if (own[low + half] < key) {
        low += half + 1;
        length -= half + 1;
      } else {
        length = half;
      }
    }
    return low;
  }
};

// One thread a sorted point, where its place is asked for, and one a boundary between buckets.
template <int Threads>
FLASH_KMEANS_KERNEL void __launch_bounds__(Threads) unpack_kernel(unpack_params const p) {
  std::int64_t const i = std::int64_t{blockIdx.x} * Threads + threadIdx.x;
  if (i < p.count) {
    std::uint32_t const at = p.points[i], problem = at / p.n, point = at - problem * p.n;
    std::int64_t const base = (p.first + problem) * p.n;
    auto const position = static_cast<std::int32_t>(i - std::int64_t{problem} * p.n);
    if (p.index.order != nullptr) p.index.order[base + position] = static_cast<std::int32_t>(point);
    if (p.index.inverse != nullptr) p.index.inverse[base + point] = position;
  }
  if (i < p.boundaries) {
    auto const problem = static_cast<std::uint32_t>(i / (p.buckets + 1));
    auto const j = static_cast<std::uint32_t>(i - std::int64_t{problem} * (p.buckets + 1));
    std::int64_t const b = p.first + problem;
    std::uint32_t const key = problem * p.buckets + j;
    std::uint32_t const begin = j < p.buckets ? p.lower_bound(problem, key) : p.n;
    p.offsets[i] = begin;
    if (p.index.offsets != nullptr && j <= p.k) p.index.offsets[b * (p.k + 1) + j] = begin;
    if (p.index.counts != nullptr && j < p.k) {
      p.index.counts[b * p.k + j] = static_cast<std::int32_t>(
          (j + 1 < p.buckets ? p.lower_bound(problem, key + 1) : p.n) - begin);
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
