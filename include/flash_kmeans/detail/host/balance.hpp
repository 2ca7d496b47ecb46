// What keeps clusters from becoming too large: centroids that can be spared move onto points of
// crowded clusters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../balance.hpp"
#include "points.hpp"
#include "scratch.hpp"
#include "sort.hpp"
#include "team.hpp"

namespace flash_kmeans::detail::cpu {

// The point that each cluster's centroid moves onto, or -1; nothing where none moves. Of points as
// sort_points left them.
template <class C>
std::vector<std::int32_t> given_points(scratch<C> const& s, point_facts<C> const& facts,
                                       double ratio) {
  auto const k = static_cast<std::int64_t>(s.offsets.size()) - 1;
  auto const begin = [&](std::int64_t j) {
    return std::int64_t{s.offsets[static_cast<std::size_t>(j)]};
  };
  auto const size = [&](std::int64_t j) { return begin(j + 1) - begin(j); };
  std::int64_t const largest = largest_size(ratio, begin(k), k);
  std::int64_t all_asked = 0;
  std::vector<std::int32_t> spare;
  for (std::int64_t j = 0; j < k; ++j) {
    all_asked += asked_centroids(size(j), largest);
    if (can_be_spared(size(j), largest)) spare.push_back(static_cast<std::int32_t>(j));
  }
  // The smallest, in the order of their numbers.
  std::stable_sort(spare.begin(), spare.end(),
                   [&](std::int32_t a, std::int32_t b) { return size(a) < size(b); });
  if (static_cast<std::int64_t>(spare.size()) > all_asked) {
    spare.resize(static_cast<std::size_t>(all_asked));
  }
  std::sort(spare.begin(), spare.end());

  std::vector<std::int32_t> given;
  std::int64_t asked = 0, dealt = 0;
  for (std::int64_t j = 0; j < k && all_asked > 0; ++j) {
    std::int64_t const first = dealt;
    asked += asked_centroids(size(j), largest);
    dealt = dealt_centroids(asked, all_asked, static_cast<std::int64_t>(spare.size()));
    for (std::int64_t i = first; i < dealt; ++i) {
      std::int64_t const place = begin(j) + given_place(i - first, dealt - first, size(j));
      std::int32_t const point = s.order[static_cast<std::size_t>(place)];
      if (facts.weight(point) == 0) continue;
      given.resize(static_cast<std::size_t>(k), -1);
      given[static_cast<std::size_t>(spare[static_cast<std::size_t>(i)])] = point;
    }
  }
  return given;
}

// Leaves in s.given what given_points says, and sorts anew with these points in the clusters that
// they are given to and those that were there in none. Returns the labels that the points are sorted
// by; labels: as they were sorted before.
template <class C>
std::int32_t const* balance_clusters(team& workers, scratch<C>& s, std::int32_t const* labels,
                                     std::int64_t n, std::int64_t k, point_facts<C> const& facts,
                                     double ratio) {
  s.given.clear();
  if (ratio > 0) s.given = given_points(s, facts, ratio);
  if (s.given.empty()) return labels;
  s.balanced.resize(static_cast<std::size_t>(n));
  workers.for_ranges(n, 2, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      bool const leaves = labels[i] >= 0 && s.given[static_cast<std::size_t>(labels[i])] >= 0;
      s.balanced[static_cast<std::size_t>(i)] = leaves ? -1 : labels[i];
    }
  });
  for (std::int64_t j = 0; j < k; ++j) {
    std::int32_t const point = s.given[static_cast<std::size_t>(j)];
    if (point >= 0) s.balanced[static_cast<std::size_t>(point)] = static_cast<std::int32_t>(j);
  }
  sort_points(workers, s, s.balanced.data(), n, k);
  return s.balanced.data();
}

}  // namespace flash_kmeans::detail::cpu
