// The end of a step of k-means++, one block a problem: the candidate that leaves the least becomes
// a centroid, and the next step's candidates are drawn.
//
// A draw goes down from runs of blocks to blocks, spans and points, always to the first whose
// running sum exceeds what was drawn. Points of a span are measured again, to the same bits as by
// seed_measure_kernel.
#pragma once

#include <cstdint>

#include "../config.cuh"
#include "../math.hpp"
#include "../ptx/grid_order.cuh"
#include "../reduce.cuh"
#include "seed_points.cuh"

namespace flash_kmeans::detail {
inline namespace FLASH_KMEANS_ABI {

inline constexpr int kSeedPickThreads = 512;

template <class T>
struct seed_pick_params {
  using acc = centroid_t<T>;
  seed_points<T> points;
  device_matrix<acc> c;  // [b][k][d]
  std::int32_t* drawn;   // [b][1 + columns]: points, the last centroid and the candidates
  // [b]: points before are centroids or never will be; -1 - j: no point is left, centroids from j on
  // repeat those before
  std::int32_t* cursors;
  problem_seeds seeds;
  bool among_taken;         // the points are those that k-means|| took
  std::int32_t step;        // the centroid that is chosen, -1: none
  std::int32_t candidates;  // measured for it
  std::int32_t draws;       // for the next one, 0: none
  std::int64_t b;
};

// The first of `count` values that lifts the running sum above `bound`, or the last one that is not
// 0, by a warp; `before` is the running sum before it. Same arguments, same result on all lanes.
__device__ __forceinline__ std::int32_t first_above(double const* values, std::int32_t stride,
                                                    std::int32_t count, double bound,
                                                    double& before) {
  int const lane = threadIdx.x % 32;
  std::int32_t found = 0;
  double running = before;
#pragma unroll 1
  for (std::int32_t base = 0; base < count; base += 32) {
    std::int32_t const own = base + lane;
    double const value = own < count ? values[std::int64_t{own} * stride] : 0;
    double const through = running + warp_inclusive_sum(value);
    double const up_to = __shfl_up_sync(0xffffffffu, through, 1);
    unsigned const some = __ballot_sync(0xffffffffu, value > 0);
    unsigned const above = __ballot_sync(0xffffffffu, value > 0 && through > bound);
    if (some != 0) {
      int const at =
          above != 0 ? __ffs(static_cast<int>(above)) - 1 : 31 - __clz(static_cast<int>(some));
      found = base + at;
      before = at == 0 ? running : __shfl_sync(0xffffffffu, up_to, at);
      if (above != 0) break;
    }
    running = __shfl_sync(0xffffffffu, through, 31);
  }
  return found;
}

template <class T, class Products>
FLASH_KMEANS_KERNEL void __launch_bounds__(kSeedPickThreads, 1)
    seed_pick_kernel(seed_pick_params<T> const params) {
  using acc = centroid_t<T>;
  constexpr int kWarps = kSeedPickThreads / 32, kRows = Products::kRows;
  constexpr std::int32_t kRun = 32, kRuns = kSeedBlocks / kRun;
  // First sums of runs of kRun blocks, by candidate; then potentials of points of a span, by draw.
  constexpr int kTable = 64;
  static_assert(kRuns <= kTable && kSeedSpan <= kTable);
  __shared__ double table[kMostCandidates][kTable];
  __shared__ double totals[kMostCandidates];
  __shared__ std::uint32_t drawn_spans[kMostCandidates];
  __shared__ double sums_before[kMostCandidates];  // the running sum before the span
  seed_points<T> const& p = params.points;
  int const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  auto const blocks = static_cast<std::int32_t>(p.blocks);
  std::int32_t const run_count = ceil_div(blocks, kRun);
  for (std::int64_t b = blockIdx.x; b < params.b; b += gridDim.x) {
    T const* const x = p.x.problem(b);
    acc const* const norms = p.norms + b * p.n;
    acc* const nearest = p.nearest + b * p.n;
    std::int32_t* const drawn = params.drawn + b * (1 + p.columns);

    __syncthreads();  // the problem before this one is done
#pragma unroll 8
    for (std::int32_t i = warp; i < params.candidates * run_count; i += kWarps) {
      std::int32_t const candidate = i / run_count, run = i - candidate * run_count;
      std::int32_t const own = run * kRun + lane;
      double const value = own < blocks ? p.sums_of_blocks(b, candidate)[own] : 0;
      double const sum = group_sum(value, 32);
      if (lane == 0) table[candidate][run] = sum;
    }
    __syncthreads();
    if (threadIdx.x < params.candidates) {
      double total = 0;
      for (std::int32_t run = 0; run < run_count; ++run) total += table[threadIdx.x][run];
      totals[threadIdx.x] = total;
    }
    __syncthreads();
    std::int32_t best = 0;
    for (std::int32_t candidate = 1; candidate < params.candidates; ++candidate) {
      if (totals[candidate] < totals[best]) best = candidate;
    }
    double const total = totals[best];
    std::int64_t const chosen = params.step < 0 ? 0 : drawn[1 + best];
    std::int32_t const cursor = params.cursors[b];
    T const* const chosen_row = x + chosen * p.x.ld;
    __syncthreads();  // all have read what was drawn
    if (params.step >= 0) {
      acc* const centroids = params.c.problem(b);
      acc* const to = centroids + params.step * params.c.ld;
      std::int32_t const found = -1 - cursor;  // where no point is left
      for (std::int32_t i = threadIdx.x; i < p.d; i += kSeedPickThreads) {
        if (cursor >= 0) {
          to[i] = widen<acc>(chosen_row[i]);
        } else {
          to[i] = found > 0 ? centroids[params.step % found * params.c.ld + i] : acc{0};
        }
      }
      if (threadIdx.x == 0) {
        drawn[0] = static_cast<std::int32_t>(chosen);
        nearest[chosen] = kChosen<acc>;
      }
    }
    if (params.draws == 0) continue;
    __syncthreads();

    if (!(total > 0)) {
      // Nothing is left to draw by: the first point that is no centroid.
      if (warp != 0 || cursor < 0) continue;
      std::int64_t at = cursor;
      for (; at < p.n; at += 32) {
        unsigned const free =
            __ballot_sync(0xffffffffu, at + lane < p.n && nearest[at + lane] != kChosen<acc> &&
                                           p.is_point(norms[at + lane]));
        if (free != 0) {
          at += __ffs(static_cast<int>(free)) - 1;
          break;
        }
      }
      bool const some = at < p.n;
      for (std::int32_t l = lane; l < params.draws; l += 32) {
        drawn[1 + l] = some ? static_cast<std::int32_t>(at) : 0;
      }
      if (lane == 0) params.cursors[b] = some ? static_cast<std::int32_t>(at) : -2 - params.step;
      continue;
    }

    std::uint64_t const problem_key = params.seeds.key(b);
    std::uint64_t const key =
        params.among_taken ? round_key(problem_key, kSeedRounds) : problem_key;
    auto const bound_of = [&](std::int32_t l) {
      return random_unit(key, draw_counter(params.step + 1, l)) * total;
    };
#pragma unroll 1
    for (std::int32_t l = warp; l < params.draws; l += kWarps) {
      double const bound = bound_of(l);
      double before = 0;
      std::int32_t const run = first_above(table[best], 1, run_count, bound, before);
      std::int32_t const block =
          run * kRun + first_above(p.sums_of_blocks(b, best) + run * kRun, 1,
                                   min(kRun, blocks - run * kRun), bound, before);
      std::int64_t const of_block = p.block / kSeedSpan, first = block * of_block;
      std::int64_t const spans = p.spans - first < of_block ? p.spans - first : of_block;
      std::int64_t const span =
          first + first_above(p.sums_of_span(b, first) + best, p.columns,
                              static_cast<std::int32_t>(spans), bound, before);
      if (lane == 0) {
        drawn_spans[l] = static_cast<std::uint32_t>(span);
        sums_before[l] = before;
      }
    }
    __syncthreads();

    constexpr std::int32_t kTiles = kSeedSpan / Products::kTile;
    acc const chosen_norm = norms[chosen];
    auto const n = static_cast<std::uint32_t>(p.n);
#pragma unroll 1
    for (std::int32_t i = warp; i < params.draws * kTiles; i += kWarps) {
      std::int32_t const l = i / kTiles, tile = i % kTiles * Products::kTile;
      std::uint32_t const first = drawn_spans[l] * kSeedSpan + tile;
      T const* rows[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        rows[r] = x + min(first + Products::row(r), n - 1) * p.x.ld;
      }
      acc results[kRows];
      if (params.step >= 0) Products::column_products(results, rows, chosen_row, p);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        std::uint32_t const row = first + Products::row(r);
        if (lane % Products::kLanes != 0) continue;
        double potential = 0;
        if (row < n) {
          acc near = nearest[row];
          if (params.step < 0) {
            near = near > 0 ? acc{1} : acc{0};
          } else {
            acc const last = Products::distance(results[r], norms[row], chosen_norm, p.cosine);
            if (last < near) near = last;
          }
          potential = seed_potential(p.weight(b, row), near);
        }
        table[l][tile + Products::row(r)] = potential;
      }
    }
    __syncthreads();

#pragma unroll 1
    for (std::int32_t l = warp; l < params.draws; l += kWarps) {
      double before = sums_before[l];
      std::int64_t const point = std::int64_t{drawn_spans[l]} * kSeedSpan +
                                 first_above(table[l], 1, kSeedSpan, bound_of(l), before);
      if (lane == 0) drawn[1 + l] = static_cast<std::int32_t>(point);
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
