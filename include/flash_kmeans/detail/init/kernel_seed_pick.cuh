// The end of a step of k-means++, one block a problem: the candidate that leaves the least becomes
// a centroid, and the next step's candidates are drawn. Where all proposals for that step are kept
// and were measured beside the candidates, the next step ends here too.
//
// A draw goes down from runs of blocks to blocks, spans and points, always to the first whose
// running sum exceeds what was drawn. Points of a span are measured again, to the same bits as by
// seed_measure_kernel and seed_pairs_kernel.
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
  // [b]: points before are centroids or never will be; -1 - j: no point is left, centroids from j on
  // repeat those before
  std::int32_t* cursors;
  problem_seeds seeds;
  bool among_taken;   // the points are those that k-means|| took
  bool pairs;         // candidates were measured with proposals
  std::int32_t step;  // the centroid that is chosen, -1: none
  std::int32_t k;
  std::int64_t b;
};

// Where the running sum of `count` values exceeds `bound`: the first of them that lifts it above, or
// the last one that is not 0; and the sum before it. By a warp: same arguments, same result on all
// lanes.
struct seed_found {
  double before;
  std::int32_t at;
};

__device__ __forceinline__ seed_found first_above(double const* values, std::int32_t stride,
                                                  std::int32_t count, double bound, double before) {
  int const lane = threadIdx.x % 32;
  seed_found found{before, 0};
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
      found.at = base + at;
      found.before = at == 0 ? running : __shfl_sync(0xffffffffu, up_to, at);
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
  constexpr int kWarps = kSeedPickThreads / 32, kRows = Products::kRows, kTile = Products::kTile;
  constexpr std::int32_t kRun = 32, kRuns = kSeedBlocks / kRun;
  // First sums of runs of kRun blocks, by candidate; then potentials of points of a span, by draw.
  constexpr int kTable = 64;
  static_assert(2 * kMostPaired <= kMostCandidates);  // draws of a step, proposals included
  static_assert(kRuns <= kTable && kTable == 64 && kSeedSpan <= kTable);
  __shared__ double table[kMostCandidates][kTable];
  __shared__ double totals[kMostCandidates];
  __shared__ std::int32_t drawn[2 * kMostCandidates];
  __shared__ bool is_kept_here[kMostCandidates];
  __shared__ std::uint32_t drawn_spans[kMostCandidates];
  __shared__ double sums_before[kMostCandidates];  // the running sum before the span
  seed_points<T> const& p = params.points;
  int const lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  ptx::wait_for_grid_before();
  ptx::let_next_grid_start();
  auto const blocks = static_cast<std::int32_t>(p.blocks);
  std::int32_t const run_count = ceil_div(blocks, kRun), most = p.most;
  for (std::int64_t b = blockIdx.x; b < params.b; b += gridDim.x) {
    if (params.step >= 0 && params.step < p.chosen[b]) continue;  // with the step before
    __syncthreads();  // the problem before this one is done
    T const* const x = p.x.problem(b);
    acc const* const norms = p.norms + b * p.n;
    acc* const nearest = p.nearest + b * p.n;
    std::int32_t* const candidates = p.candidates(b);

    std::int32_t const cursor = params.cursors[b];
    // The columns that are compared: candidates, then what the chosen one leaves with each proposal.
    std::int32_t first_column = 0, count = params.step <= 0 ? 1 : most;
    // What was drawn, candidates and proposals.
    std::int32_t const draws_before =
        params.step < 0 ? 0 : count + (proposes(params.step, params.k, most) ? most : 0);
    for (std::int32_t l = threadIdx.x; l < draws_before; l += kSeedPickThreads) {
      drawn[l] = candidates[l];
    }
    std::uint64_t const problem_key = params.seeds.key(b);
    std::uint64_t const key =
        params.among_taken ? round_key(problem_key, kSeedRounds) : problem_key;

    std::int32_t chosen = 0, also_chosen = 0, best = 0, next = params.step + 1;
    double total = 0;
    bool proposed = false, both = false;
#pragma unroll 1
    for (;;) {
      std::int32_t const parts = ceil_div(run_count, 32);
#pragma unroll 1
      for (std::int32_t i = warp; i < count * parts; i += kWarps) {
        std::int32_t const column = i / parts, runs = (i - column * parts) * 32;
        double const* const sums = p.sums_of_blocks(b, first_column + column) + runs * kRun + lane;
        std::int32_t const left = blocks - runs * kRun - lane;
        double values[32];
#pragma unroll
        for (int run = 0; run < 32; ++run) values[run] = run * kRun < left ? sums[run * kRun] : 0;
        scatter_sums<16>(values);
        table[column][runs + lane] = values[0];
      }
      __syncthreads();
#pragma unroll 1
      for (std::int32_t column = warp; column < count; column += kWarps) {
        double sum = lane < run_count ? table[column][lane] : 0;
        if (lane + 32 < run_count) sum += table[column][lane + 32];
        sum = group_sum(sum, 32);
        if (lane == 0) totals[column] = sum;
      }
      __syncthreads();
      best = 0;
#pragma unroll 1
      for (std::int32_t column = 1; column < count; ++column) {
        if (totals[column] < totals[best]) best = column;
      }
      total = totals[best];
      if (both) {
        also_chosen = drawn[most + best];
        ++next;
        break;
      }
      if (params.step >= 0) chosen = also_chosen = drawn[best];

      // Proposals whose distance to the chosen point lets them stand.
      proposed = total > 0 && proposes(params.step, params.k, most);
      if (!proposed) break;
      for (std::int32_t tile = warp * kTile; tile < most; tile += kWarps * kTile) {
        T const* rows[kRows];
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          rows[r] = x + drawn[most + min(tile + Products::row(r), most - 1)] * p.x.ld;
        }
        acc results[kRows], same[kRows];
        T const* const row = x + chosen * p.x.ld;
        Products::column_products(results, same, rows, row, row, p);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          std::int32_t const l = tile + Products::row(r);
          if (lane % Products::kLanes != 0 || l >= most) continue;
          std::int32_t const point = drawn[most + l];
          acc const before = nearest[point];
          acc const now = Products::distance(results[r], norms[point], norms[chosen], p.cosine);
          double const unit = random_unit(key, draw_counter(next, l, seed_draw::kept));
          is_kept_here[l] = point != chosen && is_kept(unit, before, now < before ? now : before);
        }
      }
      __syncthreads();
      both = params.pairs;
      for (std::int32_t l = 0; l < most; ++l) both = both && is_kept_here[l];
      if (!both) break;
      first_column = p.pair_column(best, 0);
    }
    std::int32_t const column = first_column + best;

    if (params.step >= 0) {
      acc* const centroids = params.c.problem(b);
      std::int32_t const found = -1 - cursor;  // where no point is left
      for (std::int32_t step = params.step; step < next; ++step) {
        T const* const from = x + (step == params.step ? chosen : also_chosen) * p.x.ld;
        for (std::int32_t i = threadIdx.x; i < p.d; i += kSeedPickThreads) {
          acc& to = centroids[step * params.c.ld + i];
          if (cursor >= 0) {
            to = widen<acc>(from[i]);
          } else {
            to = found > 0 ? centroids[step % found * params.c.ld + i] : acc{0};
          }
        }
      }
      if (threadIdx.x == 0) {
        p.last_centroids(b)[0] = chosen;
        p.last_centroids(b)[1] = also_chosen;
        p.chosen[b] = next;
        nearest[chosen] = nearest[also_chosen] = kChosen<acc>;
      }
    }
    if (next >= params.k) continue;
    std::int32_t const own_draws = next == 0 ? 1 : most;
    std::int32_t const draws = own_draws + (proposes(next, params.k, most) ? most : 0);
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
      // Without such a point the steps that follow draw nothing more but read their candidates and
      // proposals, so all of these become a point that is there.
      for (std::int32_t l = lane; l < (some ? draws : 2 * most); l += 32) {
        candidates[l] = some ? static_cast<std::int32_t>(at) : 0;
      }
      if (lane == 0) params.cursors[b] = some ? static_cast<std::int32_t>(at) : -1 - next;
      continue;
    }

    // Proposals that stand are candidates without a draw.
    bool const redraws = proposed && !both;
    auto const is_drawn = [&](std::int32_t l) { return !redraws || !is_kept_here[l]; };
    auto const bound_of = [&](std::int32_t l) {
      std::uint64_t const counter =
          l < own_draws ? draw_counter(next, l, redraws ? seed_draw::again : seed_draw::first)
                        : draw_counter(next + 1, l - own_draws);
      return random_unit(key, counter) * total;
    };
#pragma unroll 1
    for (std::int32_t l = warp; l < draws; l += kWarps) {
      if (!is_drawn(l)) continue;
      double const bound = bound_of(l);
      // Of runs, blocks and spans, each among those of the one before. One piece of code for all
      // three: every step reads the kernel's code anew.
      seed_found found{0, 0};
      std::int64_t from = 0;
#pragma unroll 1
      for (int level = 0; level < 3; ++level) {
        std::int64_t const of_block = p.block / kSeedSpan;
        double const* const values = level == 0   ? table[best]
                                     : level == 1 ? p.sums_of_blocks(b, column)
                                                  : p.span_sums + b * p.spans * p.columns + column;
        std::int64_t const end = level == 0   ? run_count
                                 : level == 1 ? min(from + kRun, p.blocks)
                                              : min(from + of_block, p.spans);
        std::int32_t const stride = level == 2 ? p.columns : 1;
        found = first_above(values + from * stride, stride, static_cast<std::int32_t>(end - from),
                            bound, found.before);
        from = (from + found.at) * (level == 0 ? kRun : level == 1 ? of_block : 1);
      }
      if (lane == 0) {
        drawn_spans[l] = static_cast<std::uint32_t>(from);
        sums_before[l] = found.before;
      }
    }

    constexpr std::int32_t kTiles = kSeedSpan / kTile;
    auto const n = static_cast<std::uint32_t>(p.n);
    __syncthreads();
#pragma unroll 1
    for (std::int32_t i = warp; i < draws * kTiles; i += kWarps) {
      std::int32_t const l = i / kTiles, tile = i % kTiles * kTile;
      if (!is_drawn(l)) continue;
      std::uint32_t const first = drawn_spans[l] * kSeedSpan + tile;
      T const* rows[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        rows[r] = x + min(first + Products::row(r), n - 1) * p.x.ld;
      }
      acc near[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        std::uint32_t const row = first + Products::row(r);
        near[r] = row < n ? nearest[row] : acc{0};
        if (params.step < 0) near[r] = near[r] > 0 ? acc{1} : acc{0};
      }
      if (params.step >= 0) {
        acc results[kRows], others[kRows];
        Products::column_products(results, others, rows, x + chosen * p.x.ld,
                                  x + also_chosen * p.x.ld, p);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          acc const norm = norms[min(first + Products::row(r), n - 1)];
          acc const one = Products::distance(results[r], norm, norms[chosen], p.cosine);
          acc const other = Products::distance(others[r], norm, norms[also_chosen], p.cosine);
          if (one < near[r]) near[r] = one;
          if (other < near[r]) near[r] = other;
        }
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        std::uint32_t const row = first + Products::row(r);
        if (lane % Products::kLanes != 0) continue;
        double const potential = row < n ? seed_potential(p.weight(b, row), near[r]) : 0;
        table[l][tile + Products::row(r)] = potential;
      }
    }
    __syncthreads();

#pragma unroll 1
    for (std::int32_t l = warp; l < draws; l += kWarps) {
      if (!is_drawn(l)) {
        if (lane == 0) candidates[l] = drawn[most + l];
        continue;
      }
      seed_found const found = first_above(table[l], 1, kSeedSpan, bound_of(l), sums_before[l]);
      std::int64_t const point = std::int64_t{drawn_spans[l]} * kSeedSpan + found.at;
      if (lane == 0) candidates[l] = static_cast<std::int32_t>(point);
    }
  }
}

}  // namespace FLASH_KMEANS_ABI
}  // namespace flash_kmeans::detail
