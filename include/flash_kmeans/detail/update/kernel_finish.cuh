// From segment sums to the next iteration: folds a cluster's slots and moves its centroid.
//
// A warp stands over 32 x V features at a time and finishes a cluster alone, unless the cluster has
// more than kMostPiecesAlone pieces: then the warps of the block take them in turns, and the first
// one adds their sums in order.
#pragma once

#include <cstdint>
#include <type_traits>

#include "../../types.hpp"
#include "../config.cuh"
#include "../convergence/state.cuh"
#include "../ptx/grid_order.cuh"
#include "centroid.cuh"
#include "changes.cuh"
#include "gaps.cuh"
#include "kinds.cuh"
#include "sorted.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kFinishWarps = 4;
inline constexpr int kFinishThreads = 32 * kFinishWarps;
inline constexpr int kFinishBlocksOfSm = 6;  // that run at once
inline constexpr std::uint32_t kMostPiecesAlone = 16;

template <class T, class Rows>
struct finish_params {
  using acc = centroid_t<T>;
  using sum = typename Rows::template sum<acc>;
  sorted_points sorted;
  sum const* sums;         // [problems * k][ld]
  sum const* slots;        // [chunks][2][ld]
  double const* run_sums;  // [problems][runs_per_problem][ld]
  centroid_params<T> centroid;
  chunking chunks;
  std::uint32_t blocks;    // of a problem
  std::uint32_t at_once;   // clusters that a block finishes side by side, 1 to kFinishWarps
  std::int32_t width, ld;  // of sums, as in kernel_segments.cuh
  // Of sums_of_scaled_rows:
  bool directions;              // centroids are scaled to length 1
  split_cluster const* splits;  // [b][k], or null: every centroid is made of its own sums
  // Of sums_of_changes:
  cluster_sums totals;
};

template <class T, class Form, class Rows>
FLASH_KMEANS_KERNEL void __launch_bounds__(kFinishThreads, kFinishBlocksOfSm)
    finish_kernel(finish_params<T, Rows> const p) {
  using acc = typename finish_params<T, Rows>::acc;
  using sum_type = typename finish_params<T, Rows>::sum;
  constexpr int V = centroid_move<T, Form>::V;
  __shared__ double parts[kFinishWarps][V][32];
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  sorted_points const& s = p.sorted;
  std::uint32_t const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  std::uint32_t const problem = blockIdx.x / p.blocks, block = blockIdx.x - problem * p.blocks;
  std::int64_t const b = s.first + problem;
  if (has_converged(p.centroid.state.status, b)) return;
  std::uint32_t const* const offsets = s.offsets_of(problem);
  std::uint32_t const chunks = problem * p.chunks.per_problem;  // of problems before
  std::uint32_t const runs = problem * p.chunks.runs_per_problem();
  chunking cut = p.chunks;
  bool adds = false;  // to the sums that are there
  if constexpr (Rows::kChanges) {
    cut = cut.of(offsets[s.k]);
    adds = !p.totals.begin_anew(p.centroid.state.status, b);
  }

  // A cluster that has no points or, of changes, no longer any. By one warp.
  auto leave = [&](std::uint32_t label) {
    p.centroid.leave(b, label);
    if constexpr (Rows::kChanges) p.totals.clear(b, label);
  };

  // together: all warps of the block call, and the first one writes. Otherwise a warp does.
  // root: whose sums the centroid is made of.
  auto finish = [&](std::uint32_t label, std::uint32_t root, std::uint32_t points,
                    cluster_pieces const& pieces, auto together) {
    constexpr bool kTogether = decltype(together)::value;
    sum_type const* const whole =
        pieces.count() == 1 ? p.sums + (std::int64_t{problem} * s.k + root) * p.ld
                            : p.slots + (2 * std::int64_t{chunks + pieces.first_chunk} + 1) * p.ld;
    double factors[2] = {1, 1};
    if (Rows::kScaled && p.splits != nullptr) {
      split_cluster const split = p.splits[b * s.k + label];
      factors[0] = split.factor(false);
      factors[1] = split.factor(true);
    }
    // Features [i, i + V) of the cluster's sum; together, the first warp's is right.
    auto fold = [&](std::int32_t i, double(&sum)[V]) {
      // Rows [0, count), several on their way at once.
      auto add_rows = [&](std::uint32_t count, auto row) {
        using Value = std::remove_const_t<std::remove_pointer_t<decltype(row(0u))>>;
        constexpr std::uint32_t kRead = 16 / sizeof(Value), kStep = kTogether ? kFinishWarps : 1;
        for (std::uint32_t r = kTogether ? warp : 0; r < count; r += kRead * kStep) {
          pack<Value, V> rows[kRead];
#pragma unroll
          for (std::uint32_t u = 0; u < kRead; ++u) {
            rows[u] = {};
            if (r + u * kStep < count && i < p.ld) {  // the sum of factors too
              rows[u] = *reinterpret_cast<pack<Value, V> const*>(row(r + u * kStep) + i);
            }
          }
#pragma unroll
          for (std::uint32_t u = 0; u < kRead; ++u) {
            if (r + u * kStep >= count) break;
#pragma unroll
            for (int v = 0; v < V; ++v) sum[v] += static_cast<double>(rows[u].values[v]);
          }
        }
      };
      add_rows(pieces.head, [&](std::uint32_t r) {
        return r == 0 ? whole : p.slots + 2 * std::int64_t{chunks + pieces.first_chunk + r} * p.ld;
      });
      add_rows(pieces.runs, [&](std::uint32_t r) {
        return p.run_sums + std::int64_t{runs + pieces.first_run + r} * p.ld;
      });
      add_rows(pieces.tail, [&](std::uint32_t r) {
        return p.slots + 2 * std::int64_t{chunks + pieces.tail_chunk + r} * p.ld;
      });
      if constexpr (kTogether) {
        __syncthreads();  // what was there has been read
#pragma unroll
        for (int v = 0; v < V; ++v) parts[warp][v][lane] = sum[v];
        __syncthreads();
        for (int w = 1; warp == 0 && w < kFinishWarps; ++w) {
#pragma unroll
          for (int v = 0; v < V; ++v) sum[v] += parts[w][v][lane];
        }
      }
#pragma unroll
      for (int v = 0; v < V; ++v) {
        if (Rows::kScaled && i != p.width) sum[v] *= factors[v % 2];
      }
    };
    bool const moves = !kTogether || warp == 0;
    double divisor = points;
    if constexpr (Rows::kScaled) {
      divisor = 0;
      if (p.directions) {
        for (std::int32_t from = 0; from < p.centroid.d; from += 32 * V) {
          double sum[V] = {};
          fold(from + static_cast<std::int32_t>(lane) * V, sum);
#pragma unroll
          for (int v = 0; v < V; ++v) {
            bool const inside = from + static_cast<std::int32_t>(lane) * V + v < p.centroid.d;
            divisor += inside ? sum[v] * sum[v] : 0;
          }
        }
        divisor = sqrt(group_sum(divisor, 32));
      } else {
        double sum[V] = {};
        fold(p.width, sum);
        divisor = sum[0];
      }
      // Without weight, or directions that add up to nothing.
      bool const nothing = !(divisor > 0);
      if (kTogether ? __syncthreads_or(warp == 0 && nothing) : nothing) {
        if (moves) leave(label);
        return;
      }
    }
    if constexpr (Rows::kChanges) {
      divisor = p.totals.sizes[b * s.k + label];
      if (divisor == 0) {
        if (moves) leave(label);
        return;
      }
    }
    centroid_move<T, Form> centroid(p.centroid, b, label, divisor);
    for (std::int32_t from = 0; from < p.centroid.d; from += 32 * V) {
      std::int32_t const i = from + static_cast<std::int32_t>(lane) * V;
      pack<acc, V> const old = centroid.old(i);
      pack<double, V> before{};
      if (Rows::kChanges && adds && i < p.width) {
        before = *reinterpret_cast<pack<double, V> const*>(p.totals.at(b, label, i));
      }
      if (!kTogether && !Rows::kScaled && !Rows::kChanges && pieces.count() == 1) {
        pack<acc, V> sum{};
        if (i < p.width) sum = *reinterpret_cast<pack<acc, V> const*>(whole + i);
        centroid.move(i, old, sum);
        continue;
      }
      double sum[V] = {};
      fold(i, sum);
      if (Rows::kChanges && moves && i < p.width) {
        bool finite = true;
#pragma unroll
        for (int v = 0; v < V; ++v) {
          sum[v] += before.values[v];
          before.values[v] = sum[v];
          finite &= is_finite(sum[v]);
        }
        *reinterpret_cast<pack<double, V>*>(p.totals.at(b, label, i)) = before;
        if (!finite) p.totals.fail(p.centroid.state.status, b);
      }
      if (moves) centroid.move(i, old, sum);
    }
    if (moves) centroid.end();
  };

  // Clusters of this block: `at_once` of every `step`.
  std::uint32_t const first = block * p.at_once, step = p.blocks * p.at_once;
  bool crowded = false;
  std::uint32_t label = warp < p.at_once ? first + warp : s.k;
  std::uint32_t root = 0, begin = 0, end = 0;
  auto root_of = [&](std::uint32_t at) {
    if (!Rows::kScaled || p.splits == nullptr) return at;
    return static_cast<std::uint32_t>(p.splits[b * s.k + at].root);
  };
  auto look = [&](std::uint32_t at) {
    if (at < s.k) {
      root = root_of(at);
      begin = offsets[root];
      end = offsets[root + 1];
    }
  };
  look(label);
  for (; label < s.k; label += step) {
    std::uint32_t const own = root, own_begin = begin, points = end - begin;
    look(label + step);
    if (points == 0) {
      if (adds) {
        p.centroid.leave(b, label);  // as it is
      } else {
        leave(label);
      }
      continue;
    }
    cluster_pieces const pieces(cut, own_begin, points);
    if (pieces.count() > kMostPiecesAlone) {
      crowded = true;
    } else {
      finish(label, own, points, pieces, std::false_type{});
    }
  }
  if (__syncthreads_or(crowded)) {
    for (std::uint32_t some = first; some < s.k; some += step) {
      for (label = some; label < min(some + p.at_once, s.k); ++label) {
        std::uint32_t const own = root_of(label), own_begin = offsets[own];
        std::uint32_t const points = offsets[own + 1] - own_begin;
        if (points == 0) continue;
        cluster_pieces const pieces(cut, own_begin, points);
        if (pieces.count() > kMostPiecesAlone) finish(label, own, points, pieces, std::true_type{});
      }
    }
  }

  p.centroid.end_iteration(b, problem, p.blocks);
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
