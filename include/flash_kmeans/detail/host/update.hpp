// The update: each centroid moves to the mean of its points.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "../../types.hpp"
#include "../math.hpp"
#include "abi.hpp"
#include "distance.hpp"
#include "points.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "sums.hpp"
#include "team.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// Moves a centroid to where the sums of its points say; it stays where they say nothing. Returns
// the squared distance that it moved.
template <class C>
double move_centroid(C* centroid, std::int64_t d, double const* sums, double weight, metric by) {
  double const by_what =
      by == metric::cosine ? std::sqrt(dot(sums, sums, d)) : weight;  // sums / by_what
  if (by_what == 0) return 0;
  double shift = 0;
  for (std::int64_t f = 0; f < d; ++f) {
    C const mean = static_cast<C>(sums[f] / by_what);
    double const moved = static_cast<double>(mean) - static_cast<double>(centroid[f]);
    shift += moved * moved;
    centroid[f] = mean;
  }
  return shift;
}

// Moves each centroid to the mean of its points (of their directions, scaled to length 1), as
// sort_points left them. s.shifts is the squared distance that each moved.
//
// A cluster's points are summed in pieces of kPieceRows, so that one huge cluster keeps every
// thread busy; the sums of the pieces are added in ascending order.
template <class P, class C>
void move_centroids(team& workers, scratch<C>& s, matrix_view<P> const& x, matrix_view<C> const& c,
                    point_facts<C> const& facts) {
  struct piece {
    std::int64_t cluster, begin, end;
    std::int64_t slot;  // of its sum in partials; -1 when it is all of its cluster
  };
  struct split {
    std::int64_t cluster, slot, pieces;
  };
  std::int64_t const k = c.rows, d = c.cols;
  vector<piece> pieces;
  vector<split> splits;
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
  // The last column is the weight.
  std::int64_t const width = d + 1;
  s.partials.resize(static_cast<std::size_t>(slots * width));
  s.shifts.assign(static_cast<std::size_t>(k), 0.0);

  auto point = [&](std::int64_t p) { return s.order[static_cast<std::size_t>(p)]; };
  auto sum_piece = [&](piece const& part, double* to) {
    if (facts.plain()) {
      sum_rows(
          x, part.begin, part.end, point, [](std::int64_t) { return 1.0; }, to);
      to[d] = static_cast<double>(part.end - part.begin);
      return;
    }
    sum_rows(
        x, part.begin, part.end, point,
        [&](std::int64_t p) { return facts.weight(point(p)) * facts.scale(point(p)); }, to);
    to[d] = 0;
    for (std::int64_t p = part.begin; p < part.end; ++p) to[d] += facts.weight(point(p));
  };
  auto finish = [&](std::int64_t j, double const* sums) {
    s.shifts[static_cast<std::size_t>(j)] = move_centroid(row(c, j), d, sums, sums[d], facts.by);
  };

  auto const points = static_cast<double>(s.offsets[static_cast<std::size_t>(k)]);
  auto const piece_count = static_cast<std::int64_t>(pieces.size());
  double const cost = points * static_cast<double>(d) / static_cast<double>(pieces.size() + 1);
  workers.for_ranges(piece_count, cost, [&](std::int64_t begin, std::int64_t end) {
    vector<double> sums(static_cast<std::size_t>(width));
    for (std::int64_t i = begin; i < end; ++i) {
      piece const& part = pieces[static_cast<std::size_t>(i)];
      double* const to = part.slot < 0 ? sums.data() : s.partials.data() + part.slot * width;
      sum_piece(part, to);
      if (part.slot < 0) finish(part.cluster, to);
    }
  });
  double const fold_cost =
      static_cast<double>(slots) * static_cast<double>(d) / static_cast<double>(splits.size() + 1);
  workers.for_ranges(static_cast<std::int64_t>(splits.size()), fold_cost,
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t i = begin; i < end; ++i) {
                         split const& whole = splits[static_cast<std::size_t>(i)];
                         double* const sums = s.partials.data() + whole.slot * width;
                         for (std::int64_t part = 1; part < whole.pieces; ++part) {
                           for (std::int64_t f = 0; f < width; ++f)
                             sums[f] += sums[part * width + f];
                         }
                         finish(whole.cluster, sums);
                       }
                     });
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
