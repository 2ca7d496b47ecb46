// From segment sums to centroids: folds a cluster's slots, divides, keeps empty clusters, measures
// the shift.
//
// A warp stands over 32 x V features at a time and finishes a cluster alone, unless the cluster spans
// many chunks: then all warps of the block share its slots. They are always dealt out to
// kFinishShares sums that are added in order, so what a cluster is finished by changes no bit.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../config.cuh"
#include "../device_matrix.cuh"
#include "../reduce.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kFinishShares = 8;
inline constexpr int kFinishThreads = 32 * kFinishShares;

template <class T>
struct finish_params {
  using acc = centroid_t<T>;
  sorted_points sorted;
  acc const* sums;           // [problems * k][d]
  acc const* slots;          // [chunks][2][d]
  double const* folded;      // [problems][runs_per_problem][d], kernel_fold.cuh
  device_matrix<acc> c;      // [b][k][d], updated
  bool aligned;              // rows of c start on 16 bytes
  double* shifts;            // [b * k], squared distance that each centroid moved
  fit_status const* status;  // [b] or null: problems that have converged stay as they are
  chunking chunks;
  std::uint32_t clusters;   // problems * k
  std::uint32_t per_block;  // clusters, 1 to kFinishShares
  std::int32_t d;
};

// Which rows of slots and folded slots add up to a cluster.
struct finish_pieces {
  // Chunks and runs count inside the problem. Pieces in order: chunks up to a run's border, whole
  // runs, chunks to the end. The last chunk may end in another cluster, so it belongs to no run.
  std::uint32_t first, first_run, head, runs, tail, count;

  __device__ finish_pieces(chunking const& chunks, std::uint32_t begin, std::uint32_t points) {
    first = begin / chunks.chunk;
    std::uint32_t const last = (begin + points - 1) / chunks.chunk;
    std::uint32_t const last_run = last / chunks.fold;
    first_run = first / chunks.fold + 1;
    runs = last_run > first_run ? last_run - first_run : 0;
    head = runs > 0 ? first_run * chunks.fold - first : last - first + 1;
    tail = last_run * chunks.fold;
    count = head + runs + (runs > 0 ? last - tail + 1 : 0);
  }

  // Slot of a piece among [chunks][2], or what was folded of it.
  __device__ bool is_folded(std::uint32_t piece) const {
    return piece >= head && piece < head + runs;
  }
  __device__ std::int64_t folded(std::uint32_t piece) const { return first_run + (piece - head); }
  __device__ std::int64_t slot(std::uint32_t piece) const {
    if (piece == 0) return std::int64_t{first} * 2 + 1;
    return 2 * (piece < head ? std::int64_t{first} + piece
                             : std::int64_t{tail} + (piece - head - runs));
  }
};

template <class T>
FLASH_KMEANS_KERNEL void __launch_bounds__(kFinishThreads) finish_kernel(finish_params<T> const p) {
  using acc = typename finish_params<T>::acc;
  constexpr int V = 16 / sizeof(acc);
  __shared__ double parts[kFinishShares][V][32];
  __shared__ bool crowded[kFinishShares];
  sorted_points const& s = p.sorted;
  std::uint32_t const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  bool const aligned = p.d % V == 0;  // rows of sums and slots

  // together: all warps of the block call, and the first one writes. Returns whether they must.
  auto finish = [&](std::uint32_t cluster, auto together) {
    constexpr bool kTogether = decltype(together)::value;
    std::uint32_t const problem = cluster / s.k, label = cluster - problem * s.k;
    std::int64_t const b = s.first + problem;
    if (p.status != nullptr && p.status[b].converged != 0) return false;
    std::uint32_t const* const offsets = s.offsets_of(problem) + label;
    std::uint32_t const begin = offsets[0], points = offsets[1] - begin;
    double* const shift = p.shifts + b * s.k + label;
    if (points == 0) {
      if (lane == 0) *shift = 0;
      return false;
    }
    finish_pieces const pieces(p.chunks, begin, points);
    if (!kTogether && pieces.count > kFinishShares) return true;
    acc const* const slots = p.slots + std::int64_t{problem} * p.chunks.per_problem * 2 * p.d;
    double const* const folded =
        p.folded + std::int64_t{problem} * p.chunks.runs_per_problem() * p.d;
    acc* const c = p.c.problem(b) + label * p.c.ld;
    double moved = 0;
    for (std::int32_t first = 0; first < p.d; first += 32 * V) {
      std::int32_t const i = first + static_cast<std::int32_t>(lane) * V;
      auto add = [&](double(&to)[V], pack<acc, V> const& values) {
#pragma unroll
        for (int v = 0; v < V; ++v) to[v] += static_cast<double>(values.values[v]);
      };
      auto add_piece = [&](double(&to)[V], std::uint32_t piece) {
        if (pieces.is_folded(piece)) {
          double const* const from = folded + pieces.folded(piece) * p.d;
#pragma unroll
          for (int v = 0; v < V; ++v) to[v] += i + v < p.d ? from[i + v] : 0;
        } else {
          add(to, load_padded<V>(slots + pieces.slot(piece) * p.d, i, p.d, aligned));
        }
      };
      double sum[V] = {};
      if constexpr (kTogether) {
        double part[V] = {};
#pragma unroll 4
        for (std::uint32_t piece = warp; piece < pieces.count; piece += kFinishShares) {
          add_piece(part, piece);
        }
        __syncthreads();  // what was there has been read
#pragma unroll
        for (int v = 0; v < V; ++v) parts[warp][v][lane] = part[v];
        __syncthreads();
        if (warp != 0) continue;
        for (int share = 0; share < kFinishShares; ++share) {
#pragma unroll
          for (int v = 0; v < V; ++v) sum[v] += parts[share][v][lane];
        }
      } else if (pieces.count == 1) {
        add(sum, load_padded<V>(p.sums + std::int64_t{cluster} * p.d, i, p.d, aligned));
      } else {
#pragma unroll 2
        for (std::uint32_t piece = 0; piece < pieces.count; ++piece) add_piece(sum, piece);
      }
      pack<acc, V> const old = load_padded<V>(c, i, p.d, p.aligned);
      pack<acc, V> mean;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        mean.values[v] = static_cast<acc>(sum[v] / points);
        double const difference = static_cast<double>(mean.values[v]) - old.values[v];
        if (i + v < p.d) moved += difference * difference;
      }
      store_padded<V>(mean, c, i, p.d, p.aligned);
    }
    if (kTogether && warp != 0) return false;
    moved = group_sum(moved, 32);
    if (lane == 0) *shift = moved;
    return false;
  };

  std::uint32_t const first = blockIdx.x * p.per_block;
  bool const own = warp < p.per_block && first + warp < p.clusters;
  bool const crowd = own && finish(first + warp, std::false_type{});
  if (lane == 0) crowded[warp] = crowd;
  __syncthreads();
  for (std::uint32_t w = 0; w < p.per_block; ++w) {
    if (crowded[w]) finish(first + w, std::true_type{});
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
