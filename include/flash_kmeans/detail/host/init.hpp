// First centroids that are rows of the points, and those of init_method::random.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "../../types.hpp"
#include "../math.hpp"
#include "abi.hpp"
#include "points.hpp"
#include "rows.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// Makes rows of x the centroids. Where they are fewer than centroids (of a problem with fewer rows
// of finite values), they are repeated; where there are none, centroids are zero.
template <class P, class C>
void copy_rows(matrix_view<P> const& x, vector<std::int32_t> const& rows, matrix_view<C> const& c) {
  for (std::int64_t j = 0; j < c.rows; ++j) {
    C* const to = row(c, j);
    if (rows.empty()) {
      std::fill_n(to, c.cols, C(0));
      continue;
    }
    P const* const from = row(x, rows[static_cast<std::size_t>(j) % rows.size()]);
    for (std::int64_t f = 0; f < c.cols; ++f) to[f] = static_cast<C>(from[f]);
  }
}

// The first count rows that init_method::random draws for problem number i. Rows that are not finite
// are passed over.
template <class P>
vector<std::int32_t> random_rows(matrix_view<P> const& x, std::int64_t count, std::int64_t i,
                                 std::uint64_t seed) {
  vector<std::int32_t> rows;
  for (std::int64_t draw = 0; draw < x.rows && static_cast<std::int64_t>(rows.size()) < count;
       ++draw) {
    std::int64_t const r = random_centroid(draw, x.rows, i, seed);
    if (all_finite(row(x, r), x.cols)) rows.push_back(static_cast<std::int32_t>(r));
  }
  return rows;
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
