// Sums of rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "../../types.hpp"
#include "abi.hpp"
#include "rows.hpp"
#include "scratch.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// sums[d] = sum of factor_of(p) x row row_of(p) of x for p = begin ... end - 1, in this order.
template <class P, class RowOf, class FactorOf>
void sum_rows(matrix_view<P> const& x, std::int64_t begin, std::int64_t end, RowOf const& row_of,
              FactorOf const& factor_of, double* sums) {
  std::int64_t f = 0;
  for (; f + kLanes <= x.cols; f += kLanes) {
    double strip[kLanes] = {};
    for (std::int64_t p = begin; p < end; ++p) {
      P const* const from = row(x, row_of(p)) + f;
      double const factor = factor_of(p);
      for (int l = 0; l < kLanes; ++l) strip[l] += factor * as_double(from[l]);
    }
    std::copy_n(strip, kLanes, sums + f);
  }
  if (f == x.cols) return;
  std::fill(sums + f, sums + x.cols, 0.0);
  for (std::int64_t p = begin; p < end; ++p) {
    P const* const from = row(x, row_of(p));
    double const factor = factor_of(p);
    for (std::int64_t rest = f; rest < x.cols; ++rest) sums[rest] += factor * as_double(from[rest]);
  }
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
