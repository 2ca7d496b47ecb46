// Segment sums over the sorted points, without atomics.
//
// The sorted order is cut into chunks (sorted.cuh). A worker, as many neighbouring threads as a row
// has vectors, walks over one chunk, gathers rows and adds them up in registers; where the cluster
// changes it writes the sum away. A cluster that lies inside one chunk goes to its place in `sums`.
// One that crosses a border goes to the chunk's own slots: slot 0 for the part of a cluster that
// began in an earlier chunk, slot 1 for one that goes on into the next. Where a cluster covers a
// whole run of chunks, the worker that ends last adds up their slots. kernel_finish.cuh adds runs
// and slots in the order of the chunks, so the sums do not depend on timing.
//
// Rows may have factors (kinds.cuh); the sum of a cluster's factors is then one more number of every
// row of sums. What changed since the update before is added up in double, but for kRows rows at a
// time.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../ptx/grid_order.cuh"
#include "changes.cuh"
#include "kinds.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSegmentsThreads = 256;

template <class T, class Rows>
struct segments_params {
  using acc = centroid_t<T>;
  using sum = typename Rows::template sum<acc>;
  sorted_points sorted;
  std::int32_t const* labels;  // [problems][n] that they are sorted by
  device_matrix<T const> x;    // [b][n][d]
  acc const* scales;           // [b][n] factors of rows, or null: 1
  sum* sums;                   // [problems * k][ld]
  sum* slots;                  // [chunks][2][ld]
  double* run_sums;            // [problems][runs_per_problem][ld]
  std::uint32_t* run_ends;     // [problems][runs_per_problem][d / V] chunks of a run that have been
                               // summed; zero between launches
  fit_status const* status;    // [b] or null: problems that have converged need no sums
  chunking chunks;
  std::uint32_t count;  // chunks, over all problems of the group
  std::int32_t d;
  std::int32_t width;             // of sums: whole 16 bytes, zero from d on
  std::int32_t ld;                // the same, or with 16 bytes more, where the sum of factors is
  std::int32_t lanes;             // threads of a worker
  std::int32_t column_blocks;     // workers side by side over the features of one chunk
  std::uint32_t const* clusters;  // of sums_of_changes: [problems][2 * n] of the sorted entries
};

// V: elements that a thread reads at once; rows are aligned and d is a multiple.
template <class T, int V, class Rows>
FLASH_KMEANS_KERNEL void __launch_bounds__(
    kSegmentsThreads,
    (Rows::kChanges && sizeof(T) == 2) || (!Rows::kScaled && sizeof(T) == 8) ? 3 : 0)
    segments_kernel(segments_params<T, Rows> const p) {
  using acc = typename segments_params<T, Rows>::acc;
  using sum_type = typename segments_params<T, Rows>::sum;
  constexpr int kRows = 8;  // reads in flight
  sorted_points const& s = p.sorted;
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  std::uint32_t const workers = kSegmentsThreads / p.lanes, worker = threadIdx.x / p.lanes;
  std::uint32_t const chunk = blockIdx.x / p.column_blocks * workers + worker;
  std::int32_t const column =
      ((blockIdx.x % p.column_blocks) * p.lanes + threadIdx.x % p.lanes) * V;
  if (worker >= workers || chunk >= p.count) return;
  std::uint32_t const problem = chunk / p.chunks.per_problem;
  if (p.status != nullptr && p.status[s.first + problem].converged != 0) return;
  chunking chunks = p.chunks;
  std::uint32_t count = s.n;
  std::uint32_t const* const offsets = s.offsets_of(problem);
  if constexpr (Rows::kChanges) {
    count = offsets[s.k];
    chunks = chunks.of(count);
  }
  std::uint32_t const begin = (chunk - problem * chunks.per_problem) << chunks.chunk_bits;
  T const* const x = p.x.problem(s.first + problem) + column;
  std::uint32_t const* const order = s.order_of(problem);
  if (column >= p.d || begin >= count) return;
  std::uint32_t const end = min(count - begin, chunks.chunk()) + begin;

  // Looked up, not searched for.
  std::uint32_t const* const clusters = p.clusters + std::int64_t{problem} * s.n;
  auto bucket_at = [&](std::uint32_t position) {
    if (Rows::kChanges) return clusters[position] & ~kLeaves;
    std::int64_t const point = order[position];
    auto const label = static_cast<std::uint32_t>(p.labels[std::int64_t{problem} * s.n + point]);
    return min(label, s.k);
  };
  std::uint32_t bucket = bucket_at(begin), next = offsets[bucket + 1];
  bool from_before = offsets[bucket] < begin;
  acc sum[V], factors;  // see clear
  // Of changes: the sums without the last rows, here since registers are few.
  __shared__ double longer[Rows::kChanges ? V : 1][kSegmentsThreads];
  auto lengthen = [&] {
#pragma unroll
    for (int v = 0; Rows::kChanges && v < V; ++v) {
      longer[v][threadIdx.x] += static_cast<double>(sum[v]);
      sum[v] = 0;
    }
  };
  auto write = [&](auto* row, auto&& value, auto of_factors) {
#pragma unroll
    for (int v = 0; v < V; ++v) row[column + v] = value(v);
    if (V == 1 && column + 1 == p.d) {
      for (std::int32_t i = p.d; i < p.width; ++i) row[i] = 0;
    }
    if (Rows::kScaled && column == 0) {
      row[p.width] = of_factors;
      for (std::int32_t i = p.width + 1; i < p.ld; ++i) row[i] = 0;
    }
  };
  auto flush = [&](bool goes_on) {
    if (bucket >= s.k) return;
    sum_type* const to = from_before ? p.slots + std::int64_t{chunk} * 2 * p.ld
                         : goes_on   ? p.slots + (std::int64_t{chunk} * 2 + 1) * p.ld
                                     : p.sums + (std::int64_t{problem} * s.k + bucket) * p.ld;
    if constexpr (Rows::kChanges) {
      lengthen();
      write(
          to, [&](int v) { return longer[v][threadIdx.x]; }, factors);
    } else {
      write(
          to, [&](int v) { return sum[v]; }, factors);
    }
  };
  auto row = [&](std::uint32_t point) {
    return *reinterpret_cast<pack<T, V> const*>(x + std::int64_t{point} * p.x.ld);
  };
  auto scale = [&](std::uint32_t point) {
    if (!Rows::kScaled || p.scales == nullptr) return acc{1};
    return p.scales[(s.first + problem) * s.n + point];
  };
  auto clear = [&] {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      sum[v] = 0;
      if (Rows::kChanges) longer[v][threadIdx.x] = 0;
    }
    factors = 0;
  };
  // cluster: of changes, the entry's.
  auto add = [&](std::uint32_t position, std::uint32_t cluster, pack<T, V> const& values,
                 acc factor) {
    if (Rows::kChanges) {
      factor = (cluster & kLeaves) != 0 ? -1 : 1;
      if ((cluster & ~kLeaves) != bucket) {
        flush(false);
        bucket = cluster & ~kLeaves;
        from_before = false;
        clear();
      }
    } else if (position == next) {
      flush(false);
      next = offsets[++bucket + 1];
      if (next == position) {  // it is empty, and others may be
        bucket = bucket_at(position);
        next = offsets[bucket + 1];
      }
      from_before = false;
      clear();
    }
#pragma unroll
    for (int v = 0; v < V; ++v) {
      acc const value = widen<acc>(values.values[v]);
      sum[v] += Rows::kScaled || Rows::kChanges ? factor * value : value;
    }
    if (Rows::kScaled) factors += factor;
  };

  // Points are known one batch before their rows are read.
  std::uint32_t points[kRows];
  auto look_ahead = [&](std::uint32_t at) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) points[r] = order[min(at + r, end - 1)];
  };
  std::uint32_t i = begin;
  clear();
  look_ahead(i);
  for (; end - i >= kRows; i += kRows) {
    pack<T, V> rows[kRows];
    acc scales[kRows];
    std::uint32_t own[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      rows[r] = row(points[r]);
      scales[r] = scale(points[r]);
      own[r] = Rows::kChanges ? clusters[i + r] : 0;
    }
    look_ahead(i + kRows);
#pragma unroll
    for (int r = 0; r < kRows; ++r) add(i + r, own[r], rows[r], scales[r]);
    lengthen();
  }
  for (; i < end; ++i) {
    add(i, Rows::kChanges ? clusters[i] : 0, row(order[i]), scale(order[i]));
  }
  if (Rows::kChanges) next = offsets[bucket + 1];
  flush(next > end);

  std::uint32_t const runs = chunks.runs_per_problem();
  if (runs == 0 || !from_before || next <= end || bucket >= s.k) return;
  std::uint32_t const run = begin >> (chunks.chunk_bits + chunks.run_bits);
  if (!cluster_pieces(chunks, offsets[bucket], next - offsets[bucket]).has_run(run)) return;
  // Every thread waits for its own features only.
  std::int64_t const at = std::int64_t{problem} * runs + run;
  std::uint32_t* const ended = p.run_ends + at * (p.d / V) + column / V;
  __threadfence();
  if (atomicAdd(ended, 1) != chunks.run() - 1) return;
  *ended = 0;
  __threadfence();
  std::int64_t const first = std::int64_t{problem} * chunks.per_problem + run * chunks.run();
  double total[V] = {}, total_factors = 0;
#pragma unroll 8
  for (std::uint32_t c = 0; c < chunks.run(); ++c) {
    sum_type const* const slot = p.slots + (first + c) * 2 * p.ld + column;
#pragma unroll
    for (int v = 0; v < V; ++v) total[v] += static_cast<double>(__ldcg(slot + v));
    if (Rows::kScaled && column == 0) total_factors += static_cast<double>(__ldcg(slot + p.width));
  }
  write(
      p.run_sums + at * p.ld, [&](int v) { return total[v]; }, total_factors);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
