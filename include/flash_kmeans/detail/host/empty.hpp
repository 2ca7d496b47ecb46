// What becomes of clusters without points.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "../../types.hpp"
#include "../math.hpp"
#include "abi.hpp"
#include "distance.hpp"
#include "points.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "sort.hpp"
#include "team.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// Clusters whose points, as sort_points left them, weigh nothing; ascending.
template <class C>
vector<std::int32_t> empty_clusters(scratch<C> const& s, point_facts<C> const& facts) {
  vector<std::int32_t> empty;
  for (std::size_t j = 0; j + 1 < s.offsets.size(); ++j) {
    auto const begin = s.order.begin() + s.offsets[j], end = s.order.begin() + s.offsets[j + 1];
    if (std::none_of(begin, end, [&](std::int32_t i) { return facts.weight(i) > 0; })) {
      empty.push_back(static_cast<std::int32_t>(j));
    }
  }
  return empty;
}

// Up to count points that count and lie farthest from the centroid of their label (the lowest index
// of equals first), farthest first. sorted: the labels that points are sorted by; those in no cluster
// are not taken.
template <class P, class C>
vector<std::int32_t> farthest_points(team& workers, matrix_view<P> const& x,
                                     std::int32_t const* labels, matrix_view<C> const& c,
                                     point_facts<C> const& facts, std::int32_t const* sorted,
                                     std::size_t count) {
  // NaN is what is not taken: points without weight or cluster, and those of NaN centroids.
  vector<double> distances(static_cast<std::size_t>(x.rows),
                           std::numeric_limits<double>::quiet_NaN());
  workers.for_ranges(x.rows, 3.0 * static_cast<double>(x.cols),
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t i = begin; i < end; ++i) {
                         if (sorted[i] < 0 || facts.weight(i) == 0) continue;
                         distances[static_cast<std::size_t>(i)] =
                             distance(facts.by, row(x, i), row(c, labels[i]), x.cols);
                       }
                     });
  vector<std::int32_t> points;
  for (std::size_t i = 0; i < distances.size(); ++i) {
    if (!std::isnan(distances[i])) points.push_back(static_cast<std::int32_t>(i));
  }
  count = std::min(count, points.size());
  std::partial_sort(points.begin(), points.begin() + static_cast<std::ptrdiff_t>(count),
                    points.end(), [&](std::int32_t a, std::int32_t b) {
                      double const of_a = distances[static_cast<std::size_t>(a)];
                      double const of_b = distances[static_cast<std::size_t>(b)];
                      return of_a > of_b || (of_a == of_b && a < b);
                    });
  points.resize(count);
  return points;
}

// empty_cluster::farthest_point: sorts anew with farthest points in the empty clusters, so that the
// update that follows takes them from the sums of their own ones. labels: of the last assignment,
// sorted: that points are sorted by.
template <class P, class C>
void move_farthest_points(team& workers, scratch<C>& s, matrix_view<P> const& x,
                          std::int32_t const* labels, std::int32_t const* sorted,
                          matrix_view<C> const& c, point_facts<C> const& facts) {
  vector<std::int32_t> const empty = empty_clusters(s, facts);
  if (empty.empty()) return;
  vector<std::int32_t> const points =
      farthest_points(workers, x, labels, c, facts, sorted, empty.size());
  vector<std::int32_t> moved(sorted, sorted + x.rows);
  for (std::size_t e = 0; e < points.size(); ++e) {
    moved[static_cast<std::size_t>(points[e])] = empty[e];
  }
  sort_points(workers, s, moved.data(), x.rows, c.rows);
}

// empty_cluster::split_largest: who gives to whom is settled before the update, the centroids are
// split after it.
template <class C>
class largest_clusters {
 public:
  largest_clusters(scratch<C> const& s, matrix_view<C> const& c, point_facts<C> const& facts) {
    vector<std::int32_t> const empty = empty_clusters(s, facts);
    if (empty.empty()) return;
    vector<std::int32_t> counts;
    for (std::size_t j = 0; j + 1 < s.offsets.size(); ++j) {
      counts.push_back(s.offsets[j + 1] - s.offsets[j]);
    }
    // Points that weigh nothing make no cluster that is worth splitting.
    for (std::int32_t const j : empty) counts[static_cast<std::size_t>(j)] = 0;
    for (std::int32_t const j : empty) {
      auto const largest = std::max_element(counts.begin(), counts.end());
      if (*largest < 2) break;
      std::int32_t const half = *largest / 2;
      *largest -= half;
      counts[static_cast<std::size_t>(j)] = half;
      splits_.push_back({static_cast<std::int32_t>(largest - counts.begin()), j});
    }
    // The shift is that from where centroids were before all this.
    for (split const& one : splits_) {
      for (std::int32_t const j : one) {
        C const* const old = row(c, j);
        before_.insert(before_.end(), old, old + c.cols);
      }
    }
  }

  void apply(scratch<C>& s, matrix_view<C> const& c, metric by) const {
    std::int64_t const d = c.cols;
    for (split const& one : splits_) {
      C* const from = row(c, one[0]);
      C* const to = row(c, one[1]);
      for (std::int64_t f = 0; f < d; ++f) {
        double const whole = static_cast<double>(from[f]);
        double const by_how_much = f % 2 == 0 ? 1.0 / 1024 : -1.0 / 1024;
        to[f] = static_cast<C>(whole * (1 + by_how_much));
        from[f] = static_cast<C>(whole * (1 - by_how_much));
      }
      if (by != metric::cosine) continue;
      scale_to_unit(from, d);
      scale_to_unit(to, d);
    }
    C const* old = before_.data();
    for (split const& one : splits_) {
      for (std::int32_t const j : one) {
        s.shifts[static_cast<std::size_t>(j)] = squared_distance(row(c, j), old, d);
        old += d;
      }
    }
  }

 private:
  using split = std::array<std::int32_t, 2>;  // the largest cluster, the empty one
  vector<split> splits_;
  vector<C> before_;  // both rows of each split
};

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
