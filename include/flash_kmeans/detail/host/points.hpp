// What a call has to know of points beside their values: weights, lengths, rows to leave out.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "../../types.hpp"
#include "../checks.hpp"
#include "../error.hpp"
#include "../math.hpp"
#include "abi.hpp"
#include "distance.hpp"
#include "rows.hpp"
#include "scratch.hpp"
#include "team.hpp"
#include "vector.hpp"

namespace flash_kmeans::detail::cpu {
inline namespace FLASH_KMEANS_ABI_HOST {

// Whether no value of a row is infinite or NaN.
template <class T>
bool all_finite(T const* row, std::int64_t d) {
  if constexpr (std::is_integral_v<T>) {
    return true;
  } else {
    using compute = centroid_t<T>;
    int finite = 1;
    for (std::int64_t f = 0; f < d; ++f) {
      finite &= std::abs(static_cast<compute>(row[f])) <= std::numeric_limits<compute>::max();
    }
    return finite != 0;
  }
}

// The points of a problem.
template <class C>
struct point_facts {
  metric by = metric::euclidean;
  // [n], or null: every point weighs 1
  C const* weights = nullptr;
  // [n] under metric::cosine, else empty: 1 / |x|, and 0 for a row of zeros
  vector<double> inverse_lengths;
  // rows with a value that is not finite, ascending
  vector<std::int32_t> left_out;

  // Whether every point counts 1 in the sums, as it lies.
  bool plain() const { return weights == nullptr && inverse_lengths.empty(); }
  // What turns point i into what is summed up, without its weight.
  double scale(std::int64_t i) const {
    return inverse_lengths.empty() ? 1 : inverse_lengths[static_cast<std::size_t>(i)];
  }
  // How much point i counts. A row of zeros has no direction, so it counts nothing under cosine.
  double weight(std::int64_t i) const {
    if (!inverse_lengths.empty() && inverse_lengths[static_cast<std::size_t>(i)] == 0) return 0;
    return weights == nullptr ? 1 : static_cast<double>(weights[i]);
  }
};

// Reads the points once, and not at all where their type and the metric leave nothing to know.
template <class P, class C>
point_facts<C> look_at_points(team& workers, matrix_view<P> const& x, metric by, C const* weights) {
  point_facts<C> facts;
  facts.by = by;
  facts.weights = weights;
  bool const lengths = by == metric::cosine;
  if (std::is_integral_v<P> && !lengths) return facts;
  if (lengths) facts.inverse_lengths.resize(static_cast<std::size_t>(x.rows));
  vector<std::uint8_t> finite(static_cast<std::size_t>(x.rows));
  double const cost = (lengths ? 2.0 : 1.0) * static_cast<double>(x.cols);
  workers.for_ranges(x.rows, cost, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      auto const at = static_cast<std::size_t>(i);
      finite[at] = all_finite(row(x, i), x.cols) ? 1 : 0;
      if (!lengths) continue;
      double const own = finite[at] != 0 ? length(row(x, i), x.cols) : 0;
      facts.inverse_lengths[at] = own == 0 ? 0 : 1 / own;
    }
  });
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (finite[static_cast<std::size_t>(i)] == 0) {
      facts.left_out.push_back(static_cast<std::int32_t>(i));
    }
  }
  return facts;
}

// Names the first row that is not finite. first: the number of the first problem.
template <class P, class C>
void require_finite(matrix_view<P> const& x, vector<point_facts<C>> const& facts,
                    std::int64_t first) {
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (facts[i].left_out.empty()) continue;
    std::int64_t const r = facts[i].left_out.front();
    P const* const bad = row(problem(x, static_cast<std::int64_t>(i)), r);
    throw_not_finite(first + static_cast<std::int64_t>(i), r, x.cols,
                     [&](std::int64_t f) { return as_double(bad[f]); });
  }
}

// Labels with -1 for points that are left out: the same memory where there are none.
template <class C>
std::int32_t const* counted_labels(point_facts<C> const& facts, std::int32_t const* labels,
                                   std::int64_t n, vector<std::int32_t>& memory) {
  if (facts.left_out.empty()) return labels;
  memory.assign(labels, labels + n);
  for (std::int32_t const i : facts.left_out) memory[static_cast<std::size_t>(i)] = -1;
  return memory.data();
}

// Of problem number i; null where there are none.
template <class C>
C const* weights_of(sample_weights const& weights, std::int64_t i, std::int64_t n) {
  C const* const all = weights.get<C>();
  return all == nullptr ? nullptr : all + i * n;
}

// Weights [b][n] that are all finite and not negative. first: the number of the first problem.
template <class C>
void check_weight_values(sample_weights const& weights, std::int64_t first, std::int64_t b,
                         std::int64_t n) {
  C const* const all = weights.get<C>();
  if (all == nullptr) return;
  for (std::int64_t i = 0; i < b * n; ++i) {
    if (std::isfinite(all[i]) && all[i] >= 0) continue;
    throw_invalid("options.weights of problem " + std::to_string(first + i / n) + ", point " +
                      std::to_string(i % n),
                  all[i], "must be finite and not negative");
  }
}

}  // namespace FLASH_KMEANS_ABI_HOST
}  // namespace flash_kmeans::detail::cpu
