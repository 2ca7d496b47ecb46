// What keeps clusters from becoming too large: crowded clusters are cut into parts, and centroids that
// can be spared move to their means.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "../balance.hpp"
#include "abi.hpp"
#include "points.hpp"
#include "scratch.hpp"
#include "sort.hpp"
#include "team.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// A part of a crowded cluster, places [begin, end) in the order of the points, and the cluster whose
// centroid moves there.
struct given_part {
  std::int64_t begin, end;
  std::int32_t cluster;
};

// Of points as sort_points left them.
template <class C>
vector<given_part> given_parts(scratch<C> const& s, point_facts<C> const& facts, double ratio,
                               std::int64_t updates) {
  auto const k = static_cast<std::int64_t>(s.offsets.size()) - 1;
  auto const begin = [&](std::int64_t j) {
    return std::int64_t{s.offsets[static_cast<std::size_t>(j)]};
  };
  auto const size = [&](std::int64_t j) { return begin(j + 1) - begin(j); };
  std::int64_t const largest = largest_size(ratio, begin(k), k);
  std::int64_t const start = first_spared(updates, k);
  std::int64_t all_asked = 0;
  vector<std::int32_t> spare;
  for (std::int64_t j = 0; j < k; ++j) {
    all_asked += asked_centroids(size(j), largest);
    if (can_be_spared(size(j), largest)) spare.push_back(static_cast<std::int32_t>(j));
  }
  // The smallest, in the order of their numbers.
  std::rotate(spare.begin(), std::lower_bound(spare.begin(), spare.end(), start), spare.end());
  std::stable_sort(spare.begin(), spare.end(),
                   [&](std::int32_t a, std::int32_t b) { return size(a) < size(b); });
  if (static_cast<std::int64_t>(spare.size()) > all_asked) {
    spare.resize(static_cast<std::size_t>(all_asked));
  }
  std::sort(spare.begin(), spare.end());

  vector<given_part> given;
  auto const weighs_something = [&](std::int32_t i) { return facts.weight(i) > 0; };
  std::int64_t asked = 0, dealt = 0;
  for (std::int64_t j = 0; j < k && all_asked > 0; ++j) {
    std::int64_t const first = dealt;
    asked += asked_centroids(size(j), largest);
    dealt = dealt_centroids(asked, all_asked, static_cast<std::int64_t>(spare.size()));
    std::int64_t const parts = dealt - first + 1;
    for (std::int64_t p = 1; p < parts; ++p) {
      given_part const part{begin(j) + part_begin(p, parts, size(j)),
                            begin(j) + part_begin(p + 1, parts, size(j)),
                            spare[static_cast<std::size_t>(first + p - 1)]};
      if (std::any_of(s.order.begin() + part.begin, s.order.begin() + part.end, weighs_something)) {
        given.push_back(part);
      }
    }
  }
  return given;
}

// Sorts anew with these parts in the clusters that they are given to, and the points that were there
// in none. Returns the labels that the points are sorted by, and leaves in s.moved_centroids how many
// centroids move; labels: as points were sorted before.
template <class C>
std::int32_t const* balance_clusters(team& workers, scratch<C>& s, std::int32_t const* labels,
                                     std::int64_t n, std::int64_t k, point_facts<C> const& facts,
                                     double ratio, std::int64_t updates) {
  vector<given_part> given;
  if (ratio > 0) given = given_parts(s, facts, ratio, updates);
  s.moved_centroids = static_cast<std::int64_t>(given.size());
  if (given.empty()) return labels;
  s.balanced.assign(labels, labels + n);
  auto const set = [&](std::int64_t begin, std::int64_t end, std::int32_t label) {
    for (std::int64_t at = begin; at < end; ++at) {
      s.balanced[static_cast<std::size_t>(s.order[static_cast<std::size_t>(at)])] = label;
    }
  };
  for (given_part const& part : given) {
    auto const j = static_cast<std::size_t>(part.cluster);
    set(s.offsets[j], s.offsets[j + 1], -1);
    set(part.begin, part.end, part.cluster);
  }
  sort_points(workers, s, s.balanced.data(), n, k);
  return s.balanced.data();
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
