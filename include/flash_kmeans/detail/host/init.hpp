// First centroids.
#pragma once

#include <cstdint>

#include "../../types.hpp"
#include "../math.hpp"
#include "rows.hpp"

namespace flash_kmeans::detail::cpu {

// Rows of x that init_method::random picks for problem number i.
template <class P, class C>
void draw_centroids(matrix_view<P> const& x, matrix_view<C> const& c, std::int64_t i,
                    std::uint64_t seed) {
  for (std::int64_t j = 0; j < c.rows; ++j) {
    P const* const from = row(x, random_centroid(j, x.rows, i, seed));
    C* const to = row(c, j);
    for (std::int64_t f = 0; f < c.cols; ++f) to[f] = static_cast<C>(from[f]);
  }
}

}  // namespace flash_kmeans::detail::cpu
