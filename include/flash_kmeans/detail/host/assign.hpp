// The assignment: the nearest centroid of each point.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "../../types.hpp"
#include "../calls.hpp"
#include "../math.hpp"
#include "abi.hpp"
#include "distance.hpp"
#include "points.hpp"
#include "products.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "team.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// Centroids as the products take them: the score of a point is x.c - bias, and the largest wins.
//   euclidean      c, |c|^2 / 2
//   cosine         c / |c| (a centroid of zeros stays one), 0
//   inner_product  c, 0
template <class C, class Centroid>
void pack(team& workers, scratch<C>& s, matrix_view<Centroid> const& c, metric by) {
  std::int64_t const d = c.cols;
  std::int64_t const blocks = ceil_div<std::int64_t>(c.rows, kLanes);
  s.packed.assign(static_cast<std::size_t>(blocks * d * kLanes), C(0));
  s.bias.assign(static_cast<std::size_t>(blocks * kLanes), std::numeric_limits<C>::infinity());
  workers.for_ranges(blocks, 2.0 * kLanes * static_cast<double>(d), [&](auto begin, auto end) {
    for (std::int64_t block = begin; block < end; ++block) {
      std::int64_t const lanes = std::min<std::int64_t>(kLanes, c.rows - block * kLanes);
      C* const to = s.packed.data() + block * d * kLanes;
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        C const* const from = row(c, block * kLanes + lane);
        double norm = 0;
        for (std::int64_t f = 0; f < d; ++f) {
          to[f * kLanes + lane] = from[f];
          norm += static_cast<double>(from[f]) * static_cast<double>(from[f]);
        }
        C& bias = s.bias[static_cast<std::size_t>(block * kLanes + lane)];
        bias = by == metric::euclidean ? static_cast<C>(norm / 2) : C(0);
        if (by != metric::cosine || norm == 0) continue;
        double const size = std::sqrt(norm);
        for (std::int64_t f = 0; f < d; ++f) {
          to[f * kLanes + lane] = static_cast<C>(static_cast<double>(from[f]) / size);
        }
      }
    }
  });
}

// Rows [first, first + count) of x, count <= kTileRows, into tile [kTileRows][d], with zeros up to a
// multiple of kRows. finite[r] says whether all of a row is.
template <class P, class C>
void read_tile(matrix_view<P> const& x, std::int64_t first, std::int64_t count, C* tile,
               bool* finite) {
  std::int64_t const d = x.cols;
  for (std::int64_t r = 0; r < count; ++r) {
    P const* const from = row(x, first + r);
    for (std::int64_t f = 0; f < d; ++f) tile[r * d + f] = static_cast<C>(from[f]);
    finite[r] = std::is_integral_v<P> || all_finite(tile + r * d, d);
  }
  std::fill(tile + count * d, tile + round_up<std::int64_t>(count, kRows) * d, C(0));
}

// Calls visit(block, r, sums, bias) for the packed centroids block by block and rows r = 0 ... count
// - 1 of a tile; a score is sums[lane] - bias[lane]. Every point takes the same instructions
// wherever it lies in a tile, so that its scores do not depend on it.
template <class C, class Visit>
void for_products(scratch<C> const& s, std::int64_t d, C const* tile, std::int64_t count,
                  Visit const& visit) {
  auto const blocks = static_cast<std::int64_t>(s.bias.size() / kLanes);
  for (std::int64_t block = 0; block < blocks; ++block) {
    C sums[kTileRows * kLanes] = {};
    for (std::int64_t f = 0; f < d; f += kDepth) {
      C const* const c = s.packed.data() + (block * d + f) * kLanes;
      std::int64_t const depth = std::min<std::int64_t>(kDepth, d - f);
      for (std::int64_t r = 0; r < count; r += kRows) {
        add_dots(tile + r * d + f, d, c, depth, sums + r * kLanes);
      }
    }
    C const* const bias = s.bias.data() + block * kLanes;
    for (std::int64_t r = 0; r < count; ++r) visit(block, r, sums + r * kLanes, bias);
  }
}

// Labels of rows [first, first + count) of x, count <= kTileRows; tile is [kTileRows][d]. A row that
// is not finite gets label 0.
template <class P, class C>
void assign_tile(matrix_view<P> const& x, scratch<C> const& s, std::int64_t first,
                 std::int64_t count, C* tile, std::int32_t* labels, bool* finite) {
  read_tile(x, first, count, tile, finite);
  // The best score so far of every lane, and the block of centroids that it is from.
  C best[kTileRows][kLanes];
  lane_index<C> best_block[kTileRows][kLanes] = {};
  std::fill(&best[0][0], &best[0][0] + kTileRows * kLanes, -std::numeric_limits<C>::infinity());
  for_products(s, x.cols, tile, count,
               [&](std::int64_t block, std::int64_t r, C const* sums, C const* bias) {
                 keep_best(sums, bias, static_cast<lane_index<C>>(block), best[r], best_block[r]);
               });

  for (std::int64_t r = 0; r < count; ++r) {
    C top = -std::numeric_limits<C>::infinity();
    std::int64_t label = 0;
    for (int l = 0; l < kLanes; ++l) {
      std::int64_t const j = static_cast<std::int64_t>(best_block[r][l]) * kLanes + l;
      if (best[r][l] > top || (best[r][l] == top && j < label)) {
        top = best[r][l];
        label = j;
      }
    }
    labels[r] = finite[r] ? static_cast<std::int32_t>(label) : 0;
  }
}

// The nearest centroid of each point of a problem: into labels [n] and distances [n] unless they
// are null; a row that is not finite has distance NaN. Returns the inertia if it is wanted, else 0;
// weights [n] or null.
template <class P, class C, class Centroid>
double assign_points(team& workers, scratch<C>& s, matrix_view<P> const& x,
                     matrix_view<Centroid> const& c, metric by, C const* weights,
                     std::int32_t* labels, C* distances, bool inertia) {
  pack(workers, s, c, by);
  std::int64_t const blocks = ceil_div<std::int64_t>(x.rows, kPointBlock);
  s.partials.assign(inertia ? static_cast<std::size_t>(blocks) : 0, 0.0);
  double const cost =
      static_cast<double>(kPointBlock) * static_cast<double>(x.cols) *
      (static_cast<double>(s.bias.size()) + (inertia || distances != nullptr ? 2 : 0));
  workers.for_ranges(blocks, cost, [&](std::int64_t begin, std::int64_t end) {
    vector<C> tile(static_cast<std::size_t>(kTileRows * x.cols));
    std::array<std::int32_t, kPointBlock> nobody_asked;
    std::array<bool, kPointBlock> finite;
    for (std::int64_t block = begin; block < end; ++block) {
      std::int64_t const first = block * kPointBlock;
      std::int64_t const count = std::min<std::int64_t>(kPointBlock, x.rows - first);
      std::int32_t* const own = labels != nullptr ? labels + first : nobody_asked.data();
      for (std::int64_t i = 0; i < count; i += kTileRows) {
        assign_tile(x, s, first + i, std::min<std::int64_t>(kTileRows, count - i), tile.data(),
                    own + i, finite.data() + i);
      }
      if (distances == nullptr && !inertia) continue;
      double sum = 0;
      for (std::int64_t i = 0; i < count; ++i) {
        if (!finite[static_cast<std::size_t>(i)]) {
          if (distances != nullptr) distances[first + i] = std::numeric_limits<C>::quiet_NaN();
          continue;
        }
        if (distances != nullptr) {
          distances[first + i] = stored_distance<C>(by, row(x, first + i), row(c, own[i]), x.cols);
        }
        if (!inertia) continue;
        double const own_distance = distance(by, row(x, first + i), row(c, own[i]), x.cols);
        sum += weights == nullptr ? own_distance
                                  : static_cast<double>(weights[first + i]) * own_distance;
      }
      if (inertia) s.partials[static_cast<std::size_t>(block)] = sum;
    }
  });
  return sum_in_order(s.partials);
}

template <class P, class C>
double assignment_cost(matrix_view<P> const& x, matrix_view<C> const& c) {
  return static_cast<double>(x.rows) * static_cast<double>(x.cols) *
         static_cast<double>(round_up<std::int64_t>(c.rows, kLanes));
}

// A whole call of predict, after the checks that are not the CPU's own.
template <class P, class C>
void run_predictions(std::vector<predict_call<P, C>> const& calls, metric by, int threads) {
  using compute = centroid_t<P>;
  check_threads(threads);
  team workers(threads);
  scratch<compute> shared;
  for (auto const& call : calls) {
    std::int64_t const n = call.x.rows;
    for_each_problem(workers, shared, call.x.batch_count(), assignment_cost(call.x, call.centroids),
                     [&](team& t, scratch<compute>& s, std::int64_t i) {
                       assign_points<P, compute>(
                           t, s, problem(call.x, i), problem(call.centroids, i), by, nullptr,
                           call.out.labels + i * n, advanced(call.out.distances, i * n), false);
                     });
  }
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
