// What the tolerance of a fit is relative to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../../types.hpp"
#include "../math.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "sums.hpp"
#include "team.hpp"

namespace flash_kmeans::detail::cpu {

// Mean over the features of the variance of the points: means first, then squared deviations, so
// that a large offset of the data cancels nothing.
template <class P, class C>
double mean_variance(team& workers, scratch<C>& s, matrix_view<P> const& x) {
  std::int64_t const n = x.rows, d = x.cols;
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
    sum_rows(
        x, begin, end, [](std::int64_t i) { return i; }, s.partials.data() + block * d);
  });
  std::vector<double> means(static_cast<std::size_t>(d), 0.0);
  for (std::int64_t block = 0; block < blocks; ++block) {
    for (std::int64_t f = 0; f < d; ++f) {
      means[static_cast<std::size_t>(f)] += s.partials[static_cast<std::size_t>(block * d + f)];
    }
  }
  for (double& mean : means) mean /= static_cast<double>(n);
  s.partials.assign(static_cast<std::size_t>(blocks), 0.0);
  for_blocks([&](std::int64_t block, std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t i = begin; i < end; ++i) sum += squared_distance(row(x, i), means.data(), d);
    s.partials[static_cast<std::size_t>(block)] = sum;
  });
  return sum_in_order(s.partials) / static_cast<double>(n) / static_cast<double>(d);
}

}  // namespace flash_kmeans::detail::cpu
