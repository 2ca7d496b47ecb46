// Distance of every point to its own centroid, or to each of several, and the sum per problem (the
// inertia).
//
// From master centroids. A group of lanes takes a row; every block sums its rows in double into one
// slot (kernel_sum.cuh adds them up). A distance that is not finite is left out of the sum.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"
#include "mended_labels.cuh"
#include "metrics.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kDistancesThreads = 256;

// Which point a label belongs to and how much it counts in the sum: a point has one label, one and a
// weight, or as many labels as are said at run time.
struct one_label {
  __device__ std::int64_t point(std::int64_t row) const { return row; }
  __device__ double weight(std::int64_t) const { return 1; }
};
template <class Acc>
struct weighted_label {
  Acc const* weights;  // [b][rows]
  __device__ std::int64_t point(std::int64_t row) const { return row; }
  __device__ double weight(std::int64_t at) const { return weights[at]; }
};
struct several_labels {
  std::int32_t count;
  __device__ std::int64_t point(std::int64_t row) const { return row / count; }
  __device__ double weight(std::int64_t) const { return 1; }
};

template <class T, class Labels = one_label>
struct distances_params {
  using acc = centroid_t<T>;
  device_matrix<T const> x;    // [b][n][d]
  device_matrix<acc const> c;  // [b][k][d]
  Labels of;
  std::int32_t const* labels;  // [b][rows], a row for each label of a point
  acc* distances;              // [b][rows] or null
  mended_labels mended;        // the labels, or nothing
  std::int32_t const* wanted;  // [b], 0 for problems that are left out, or null
  double* partials;            // [b][blocks_per_problem] or null
  std::int64_t rows;
  std::int32_t d;
  std::int32_t lanes;  // a row's group of lanes: a power of two up to 32
  std::int64_t rows_per_block;
  std::int64_t blocks_per_problem;
  std::int64_t blocks;  // over all problems of the launch
  std::int64_t first;   // problem that it begins with
};

// Aligned: vectors of a row are read in one access; d is a multiple of kVector. Either way a lane
// adds the same features in the same order, so strides change no bit.
template <class T, bool Aligned, class Terms, class Labels>
FLASH_KMEANS_KERNEL void __launch_bounds__(kDistancesThreads, sizeof(T) == 8 ? 4 : 0)
    distances_kernel(distances_params<T, Labels> const p) {
  constexpr int V = kVector<T>;
  using acc = centroid_t<T>;
  int const lane = threadIdx.x % p.lanes, group = threadIdx.x / p.lanes,
            groups = kDistancesThreads / p.lanes;
  for (std::int64_t block = blockIdx.x; block < p.blocks; block += gridDim.x) {
    std::int64_t const problem = block / p.blocks_per_problem, b = p.first + problem;
    std::int64_t const first = (block - problem * p.blocks_per_problem) * p.rows_per_block;
    std::int64_t const last = first + p.rows_per_block < p.rows ? first + p.rows_per_block : p.rows;
    if (p.wanted != nullptr && p.wanted[b] == 0) continue;
    T const* const x = p.x.problem(b);
    acc const* const c = p.c.problem(b);
    std::int32_t const* const labels = p.labels + b * p.rows;

    double sum = 0;
    // Whole warps go round together; a group beyond the end reads the last row again and drops it.
    for (std::int64_t base = first; base < last; base += groups) {
      std::int64_t const row = base + group, read = row < last ? row : last - 1;
      T const* const point = x + p.of.point(read) * p.x.ld;
      std::int32_t const label = labels[read];
      acc const* const centroid = c + max(label, 0) * p.c.ld;
      acc sums = 0, squares = 0;
#pragma unroll 4
      for (int i = lane * V; i < p.d; i += p.lanes * V) {
        pack<T, V> values;
        if constexpr (Aligned) {
          values = *reinterpret_cast<pack<T, V> const*>(point + i);
        } else {
#pragma unroll
          for (int v = 0; v < V; ++v) {
            if (i + v < p.d) values.values[v] = point[i + v];
          }
        }
#pragma unroll
        for (int v = 0; v < V; ++v) {
          if (Aligned || i + v < p.d) {
            acc const value = widen<acc>(values.values[v]);
            Terms::add(sums, value, centroid[i + v]);
            if constexpr (Terms::kLengths) squares += value * value;
          }
        }
      }
      sums = group_sum(sums, p.lanes);
      if constexpr (Terms::kLengths) squares = group_sum(squares, p.lanes);
      if (lane == 0 && row < last) {
        acc distance = Terms::distance(sums, squares);
        if (label < 0) {
          distance = kNaN<acc>;
          p.mended.mend(b, p.rows, row);
        }
        if (p.distances != nullptr) p.distances[b * p.rows + row] = distance;
        if (distance == distance) {
          sum += p.of.weight(b * p.rows + row) * static_cast<double>(distance);
        }
      }
    }
    if (p.partials != nullptr) {
      sum = block_sum(sum);
      if (threadIdx.x == 0) p.partials[block] = sum;
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
