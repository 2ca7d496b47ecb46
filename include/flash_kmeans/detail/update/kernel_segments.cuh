// Segment sums over the sorted points, without atomics.
//
// The sorted order is cut into chunks (sorted.cuh). A worker, as many neighbouring threads as a row
// has vectors, walks over one chunk, gathers rows and adds them up in registers; where the cluster
// changes it writes the sum away. A cluster that lies inside one chunk goes to its place in `sums`.
// One that crosses a border goes to the chunk's own slots: slot 0 for the part of a cluster that
// began in an earlier chunk, slot 1 for one that goes on into the next. kernel_finish.cuh folds the
// slots in the order of the chunks, so the sums do not depend on timing.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSegmentsThreads = 256;

template <class T>
struct segments_params {
  using acc = centroid_t<T>;
  sorted_points sorted;
  device_matrix<T const> x;  // [b][n][d]
  acc* sums;                 // [problems * k][d]
  acc* slots;                // [chunks][2][d]
  fit_status const* status;  // [b] or null: problems that have converged need no sums
  chunking chunks;
  std::uint32_t count;  // chunks, over all problems of the group
  std::int32_t d;
  std::int32_t lanes;          // threads of a worker
  std::int32_t column_blocks;  // workers side by side over the features of one chunk
};

// V: elements that a thread reads at once; rows are aligned and d is a multiple.
template <class T, int V>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSegmentsThreads)
    segments_kernel(segments_params<T> const p) {
  using acc = typename segments_params<T>::acc;
  constexpr int kRows = 8;  // reads in flight
  sorted_points const& s = p.sorted;
  std::uint32_t const workers = kSegmentsThreads / p.lanes, worker = threadIdx.x / p.lanes;
  std::uint32_t const chunk = blockIdx.x / p.column_blocks * workers + worker;
  std::int32_t const column =
      ((blockIdx.x % p.column_blocks) * p.lanes + threadIdx.x % p.lanes) * V;
  if (worker >= workers || chunk >= p.count || column >= p.d) return;
  std::uint32_t const problem = chunk / p.chunks.per_problem;
  if (p.status != nullptr && p.status[s.first + problem].converged != 0) return;
  std::uint32_t const problem_begin = problem * s.n, problem_end = problem_begin + s.n;
  std::uint32_t const begin =
      problem_begin + (chunk - problem * p.chunks.per_problem) * p.chunks.chunk;
  std::uint32_t const end =
      problem_end - begin > p.chunks.chunk ? begin + p.chunks.chunk : problem_end;
  T const* const x = p.x.problem(s.first + problem) + column;

  std::uint32_t key = s.keys[begin];
  bool from_before = begin > problem_begin && s.keys[begin - 1] == key;
  acc sum[V] = {};
  auto flush = [&](bool goes_on) {
    std::uint32_t const label = key - problem * s.buckets;
    if (label >= s.k) return;
    acc* const to = from_before ? p.slots + std::int64_t{chunk} * 2 * p.d
                    : goes_on   ? p.slots + (std::int64_t{chunk} * 2 + 1) * p.d
                                : p.sums + (std::int64_t{problem} * s.k + label) * p.d;
#pragma unroll
    for (int v = 0; v < V; ++v) to[column + v] = sum[v];
  };
  auto row = [&](std::uint32_t position) {
    std::int64_t const point = s.order[position] - problem_begin;
    return *reinterpret_cast<pack<T, V> const*>(x + point * p.x.ld);
  };
  auto add = [&](std::uint32_t next, pack<T, V> const& values) {
    if (next != key) {
      flush(false);
      key = next;
      from_before = false;
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] = 0;
    }
#pragma unroll
    for (int v = 0; v < V; ++v) sum[v] += widen<acc>(values.values[v]);
  };

  std::uint32_t i = begin;
  for (; end - i >= kRows; i += kRows) {
    std::uint32_t keys[kRows];
    pack<T, V> rows[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      keys[r] = s.keys[i + r];
      rows[r] = row(i + r);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) add(keys[r], rows[r]);
  }
  for (; i < end; ++i) add(s.keys[i], row(i));
  flush(end < problem_end && s.keys[end] == key);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
