// The update: each centroid moves to the mean of its points.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../../types.hpp"
#include "../math.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "sums.hpp"
#include "team.hpp"

namespace flash_kmeans::detail::cpu {

// Moves each centroid to the mean of its points, as sort_points left them. Returns the sum of the
// squared distances that centroids moved.
//
// A cluster's points are summed in pieces of kPieceRows, so that one huge cluster keeps every
// thread busy; the sums of the pieces are added in ascending order.
template <class P, class C>
double move_centroids(team& workers, scratch<C>& s, matrix_view<P> const& x,
                      matrix_view<C> const& c) {
  struct piece {
    std::int64_t cluster, begin, end;
    std::int64_t slot;  // of its sum in partials; -1 when it is all of its cluster
  };
  struct split {
    std::int64_t cluster, slot, pieces;
  };
  std::int64_t const k = c.rows, d = c.cols;
  std::vector<piece> pieces;
  std::vector<split> splits;
  std::int64_t slots = 0;
  for (std::int64_t j = 0; j < k; ++j) {
    std::int64_t const begin = s.offsets[static_cast<std::size_t>(j)];
    std::int64_t const end = s.offsets[static_cast<std::size_t>(j + 1)];
    if (begin == end) continue;
    if (end - begin <= kPieceRows) {
      pieces.push_back({j, begin, end, -1});
      continue;
    }
    splits.push_back({j, slots, ceil_div<std::int64_t>(end - begin, kPieceRows)});
    for (std::int64_t at = begin; at < end; at += kPieceRows) {
      pieces.push_back({j, at, std::min(at + kPieceRows, end), slots++});
    }
  }
  s.partials.resize(static_cast<std::size_t>(slots * d));
  s.shifts.assign(static_cast<std::size_t>(k), 0.0);

  auto finish = [&](std::int64_t j, double const* sums) {
    auto const at = static_cast<std::size_t>(j);
    double const count = s.offsets[at + 1] - s.offsets[at];
    C* const centroid = row(c, j);
    double shift = 0;
    for (std::int64_t f = 0; f < d; ++f) {
      C const mean = static_cast<C>(sums[f] / count);
      double const moved = static_cast<double>(mean) - static_cast<double>(centroid[f]);
      shift += moved * moved;
      centroid[f] = mean;
    }
    s.shifts[at] = shift;
  };

  auto const points = static_cast<double>(s.offsets[static_cast<std::size_t>(k)]);
  auto const piece_count = static_cast<std::int64_t>(pieces.size());
  double const cost = points * static_cast<double>(d) / static_cast<double>(pieces.size() + 1);
  workers.for_ranges(piece_count, cost, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> sums(static_cast<std::size_t>(d));
    for (std::int64_t i = begin; i < end; ++i) {
      piece const& part = pieces[static_cast<std::size_t>(i)];
      double* const to = part.slot < 0 ? sums.data() : s.partials.data() + part.slot * d;
      sum_rows(
          x, part.begin, part.end,
          [&](std::int64_t p) { return s.order[static_cast<std::size_t>(p)]; }, to);
      if (part.slot < 0) finish(part.cluster, to);
    }
  });
  double const fold_cost =
      static_cast<double>(slots) * static_cast<double>(d) / static_cast<double>(splits.size() + 1);
  workers.for_ranges(static_cast<std::int64_t>(splits.size()), fold_cost,
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t i = begin; i < end; ++i) {
                         split const& whole = splits[static_cast<std::size_t>(i)];
                         double* const sums = s.partials.data() + whole.slot * d;
                         for (std::int64_t part = 1; part < whole.pieces; ++part) {
                           for (std::int64_t f = 0; f < d; ++f) sums[f] += sums[part * d + f];
                         }
                         finish(whole.cluster, sums);
                       }
                     });
  return sum_in_order(s.shifts);
}

}  // namespace flash_kmeans::detail::cpu
