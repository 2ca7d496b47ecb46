// What the tolerance of a fit is relative to.
#pragma once

#include <algorithm>
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

// Mean over the features of the variance of the points (under cosine of their directions, a row of
// zeros having that of zeros), weights aside: means first, then squared deviations, so that a large
// offset of the data cancels nothing.
template <class P, class C>
double mean_variance(team& workers, scratch<C>& s, matrix_view<P> const& x,
                     point_facts<C> const& facts) {
  std::int64_t const n = x.rows - static_cast<std::int64_t>(facts.left_out.size()), d = x.cols;
  if (n == 0) return 0;
  // Those that are not left out.
  vector<std::int32_t> rows;
  if (!facts.left_out.empty()) {
    auto skip = facts.left_out.begin();
    for (std::int32_t i = 0; i < x.rows; ++i) {
      if (skip != facts.left_out.end() && *skip == i) {
        ++skip;
      } else {
        rows.push_back(i);
      }
    }
  }
  auto row_of = [&](std::int64_t p) {
    return rows.empty() ? p : std::int64_t{rows[static_cast<std::size_t>(p)]};
  };
  auto scale_of = [&](std::int64_t p) { return facts.scale(row_of(p)); };
  std::int64_t const blocks = ceil_div<std::int64_t>(n, kPieceRows);
  double const cost = static_cast<double>(kPieceRows) * static_cast<double>(d);
  auto for_blocks = [&](auto const& visit) {
    workers.for_ranges(blocks, cost, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t block = begin; block < end; ++block) {
        visit(block, block * kPieceRows, std::min<std::int64_t>((block + 1) * kPieceRows, n));
      }
    });
  };
  s.partials.resize(static_cast<std::size_t>(blocks * d));
  for_blocks([&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    sum_rows(x, begin, end, row_of, scale_of, s.partials.data() + block * d);
  });
  vector<double> means(static_cast<std::size_t>(d), 0.0);
  for (std::int64_t block = 0; block < blocks; ++block) {
    for (std::int64_t f = 0; f < d; ++f) {
      means[static_cast<std::size_t>(f)] += s.partials[static_cast<std::size_t>(block * d + f)];
    }
  }
  for (double& mean : means) mean /= static_cast<double>(n);
  s.partials.assign(static_cast<std::size_t>(blocks), 0.0);
  for_blocks([&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t p = begin; p < end; ++p) {
      P const* const from = row(x, row_of(p));
      double const scale = scale_of(p);
      sum += sum_over_features(d, [&](std::int64_t f) {
        double const deviation = scale * as_double(from[f]) - means[static_cast<std::size_t>(f)];
        return deviation * deviation;
      });
    }
    s.partials[static_cast<std::size_t>(block)] = sum;
  });
  return sum_in_order(s.partials) / static_cast<double>(n) / static_cast<double>(d);
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
