// Sums of rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "rows.hpp"
#include "scratch.hpp"

namespace flash_kmeans::detail::cpu {

// sums[d] = sum of the rows row_of(begin) ... row_of(end - 1) of x, in this order.
template <class P, class RowOf>
void sum_rows(matrix_view<P> const& x, std::int64_t begin, std::int64_t end, RowOf const& row_of,
              double* sums) {
  std::int64_t f = 0;
  for (; f + kLanes <= x.cols; f += kLanes) {
    double strip[kLanes] = {};
    for (std::int64_t p = begin; p < end; ++p) {
      P const* const from = row(x, row_of(p)) + f;
      for (int l = 0; l < kLanes; ++l) strip[l] += as_double(from[l]);
    }
    std::copy_n(strip, kLanes, sums + f);
  }
  if (f == x.cols) return;
  std::fill(sums + f, sums + x.cols, 0.0);
  for (std::int64_t p = begin; p < end; ++p) {
    P const* const from = row(x, row_of(p));
    for (std::int64_t rest = f; rest < x.cols; ++rest) sums[rest] += as_double(from[rest]);
  }
}

}  // namespace flash_kmeans::detail::cpu
