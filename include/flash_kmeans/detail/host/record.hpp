// What an iteration's record counts.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "abi.hpp"
#include "points.hpp"
#include "scratch.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// moved and empty of a problem's labels; previous: [n], the labels before, -1 at first and for points
// that are left out, becomes these.
template <class C>
iteration_record count_changes(scratch<C>& s, point_facts<C> const& facts,
                               std::int32_t const* labels, std::int32_t* previous, std::int64_t n,
                               std::int64_t k) {
  iteration_record record{};
  std::int32_t const* const counted = counted_labels(facts, labels, n, s.labels);
  vector<std::uint8_t> has_points(static_cast<std::size_t>(k));
  for (std::int64_t i = 0; i < n; ++i) {
    record.moved += counted[i] != previous[i] ? 1 : 0;
    previous[i] = counted[i];
    if (counted[i] >= 0 && facts.weight(i) > 0)
      has_points[static_cast<std::size_t>(counted[i])] = 1;
  }
  record.empty = std::count(has_points.begin(), has_points.end(), std::uint8_t{0});
  return record;
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
