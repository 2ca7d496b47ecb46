// The oracle of the tests with options: metrics, weights, empty clusters, points that are not
// finite. As reference.hpp: in double, as the textbook writes it, and independent of the library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "reference.hpp"

namespace testing_support {

enum class measure { euclidean, cosine, inner_product };
enum class vacancy { keep, farthest_point, split_largest };

struct reference_options {
  measure by = measure::euclidean;
  std::vector<double> weights{};  // empty: all 1
  vacancy empty = vacancy::keep;
  // What a value of a centroid becomes where it is stored.
  std::function<double(double)> stored = [](double value) { return value; };

  double weight(std::int64_t i) const {
    return weights.empty() ? 1 : weights[static_cast<std::size_t>(i)];
  }
};

inline double reference_dot(matrix const& a, std::int64_t i, matrix const& b, std::int64_t j) {
  double sum = 0;
  for (std::int64_t e = 0; e < a.cols; ++e) sum += a(i, e) * b(j, e);
  return sum;
}

inline double reference_length(matrix const& a, std::int64_t i) {
  return std::sqrt(reference_dot(a, i, a, i));
}

inline double reference_distance(measure by, matrix const& x, std::int64_t i, matrix const& c,
                                 std::int64_t j) {
  if (by == measure::inner_product) return -reference_dot(x, i, c, j);
  if (by == measure::euclidean) return reference_distance(x, i, c, j);
  double const lengths = reference_length(x, i) * reference_length(c, j);
  return lengths == 0 ? 1 : 1 - reference_dot(x, i, c, j) / lengths;
}

inline bool is_finite_row(matrix const& x, std::int64_t i) {
  for (std::int64_t e = 0; e < x.cols; ++e) {
    if (!std::isfinite(x(i, e))) return false;
  }
  return true;
}

// The row as it enters the sums: its direction under cosine.
inline std::vector<double> reference_summand(measure by, matrix const& x, std::int64_t i) {
  std::vector<double> row(x.row(i), x.row(i) + x.cols);
  double const length = by == measure::cosine ? reference_length(x, i) : 1;
  if (length == 0) return row;
  for (double& value : row) value /= length;
  return row;
}

inline std::vector<std::int32_t> reference_assign(measure by, matrix const& x, matrix const& c) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(x.rows), 0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) continue;
    double best = std::numeric_limits<double>::infinity();
    for (std::int64_t j = 0; j < c.rows; ++j) {
      double const distance = reference_distance(by, x, i, c, j);
      if (distance < best) {
        best = distance;
        labels[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(j);
      }
    }
  }
  return labels;
}

inline double reference_inertia(reference_options const& o, matrix const& x, matrix const& c,
                                std::vector<std::int32_t> const& labels) {
  double sum = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) continue;
    sum += o.weight(i) * reference_distance(o.by, x, i, c, labels[static_cast<std::size_t>(i)]);
  }
  return sum;
}

// Mean over the features of the variance of what enters the sums.
inline double reference_variance(measure by, matrix const& x) {
  matrix rows(0, x.cols);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) continue;
    std::vector<double> const row = reference_summand(by, x, i);
    rows.values.insert(rows.values.end(), row.begin(), row.end());
    ++rows.rows;
  }
  return reference_variance(rows);
}

inline void reference_to_unit(reference_options const& o, matrix& c, std::int64_t j) {
  double const length = reference_length(c, j);
  if (length == 0) return;
  for (std::int64_t e = 0; e < c.cols; ++e) c(j, e) = o.stored(c(j, e) / length);
}

// One update with all that the options ask for.
inline matrix reference_update(reference_options const& o, matrix const& x,
                               std::vector<std::int32_t> const& labels, matrix const& c) {
  auto const at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  // Points that count in the sums, the clusters' sums and weights, and their numbers of points.
  std::vector<bool> counts_in(at(x.rows), false);
  matrix sums(c.rows, c.cols);
  std::vector<double> weights(at(c.rows), 0);
  std::vector<std::int64_t> sizes(at(c.rows), 0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int64_t const j = labels[at(i)];
    if (j < 0 || j >= c.rows || !is_finite_row(x, i)) continue;
    ++sizes[at(j)];
    if (o.weight(i) == 0 || (o.by == measure::cosine && reference_length(x, i) == 0)) continue;
    counts_in[at(i)] = true;
    weights[at(j)] += o.weight(i);
    std::vector<double> const row = reference_summand(o.by, x, i);
    for (std::int64_t e = 0; e < x.cols; ++e) sums(j, e) += o.weight(i) * row[at(e)];
  }
  std::vector<std::int64_t> empty;
  for (std::int64_t j = 0; j < c.rows; ++j) {
    if (weights[at(j)] == 0) empty.push_back(j);
  }

  if (o.empty == vacancy::farthest_point && !empty.empty()) {
    std::vector<std::int64_t> far;
    for (std::int64_t i = 0; i < x.rows; ++i) {
      if (counts_in[at(i)]) far.push_back(i);
    }
    std::stable_sort(far.begin(), far.end(), [&](std::int64_t a, std::int64_t b) {
      return reference_distance(o.by, x, a, c, labels[at(a)]) >
             reference_distance(o.by, x, b, c, labels[at(b)]);
    });
    // Whole clusters may be given away; what is left of their sums by rounding is not a sum.
    std::vector<std::int64_t> left(at(c.rows), 0);
    for (std::int64_t const i : far) ++left[at(labels[at(i)])];
    for (std::size_t e = 0; e < empty.size() && e < far.size(); ++e) {
      std::int64_t const i = far[e], from = labels[at(i)], to = empty[e];
      std::vector<double> const row = reference_summand(o.by, x, i);
      for (std::int64_t f = 0; f < x.cols; ++f) {
        sums(from, f) -= o.weight(i) * row[at(f)];
        sums(to, f) = o.weight(i) * row[at(f)];
      }
      weights[at(from)] -= o.weight(i);
      weights[at(to)] = o.weight(i);
      if (--left[at(from)] == 0) weights[at(from)] = 0;
    }
  }

  matrix means = c;
  for (std::int64_t j = 0; j < c.rows; ++j) {
    if (weights[at(j)] == 0) continue;
    double const by = o.by == measure::cosine ? reference_length(sums, j) : weights[at(j)];
    if (by == 0) continue;
    for (std::int64_t e = 0; e < c.cols; ++e) means(j, e) = o.stored(sums(j, e) / by);
  }

  if (o.empty == vacancy::split_largest) {
    for (std::int64_t const j : empty) sizes[at(j)] = 0;
    for (std::int64_t const j : empty) {
      std::int64_t largest = 0;
      for (std::int64_t other = 1; other < c.rows; ++other) {
        if (sizes[at(other)] > sizes[at(largest)]) largest = other;
      }
      if (sizes[at(largest)] < 2) break;
      sizes[at(j)] = sizes[at(largest)] / 2;
      sizes[at(largest)] -= sizes[at(j)];
      for (std::int64_t e = 0; e < c.cols; ++e) {
        double const value = means(largest, e), sign = e % 2 == 0 ? 1 : -1;
        means(j, e) = o.stored(value * (1 + sign / 1024));
        means(largest, e) = o.stored(value * (1 - sign / 1024));
      }
      if (o.by == measure::cosine) {
        reference_to_unit(o, means, j);
        reference_to_unit(o, means, largest);
      }
    }
  }
  return means;
}

// Lloyd's algorithm from the centroids c0.
inline reference_fit_result reference_fit(reference_options const& o, matrix const& x,
                                          matrix const& c0, int max_iterations, double tolerance) {
  reference_fit_result result;
  result.centroids = c0;
  if (o.by == measure::cosine) {
    for (std::int64_t j = 0; j < c0.rows; ++j) reference_to_unit(o, result.centroids, j);
  }
  double const bound = tolerance * reference_variance(o.by, x);
  while (result.iterations < max_iterations && !result.converged) {
    matrix const next =
        reference_update(o, x, reference_assign(o.by, x, result.centroids), result.centroids);
    result.shift = reference_shift(result.centroids, next);
    result.centroids = next;
    ++result.iterations;
    result.converged = result.shift <= bound;
  }
  result.labels = reference_assign(o.by, x, result.centroids);
  result.inertia = reference_inertia(o, x, result.centroids, result.labels);
  return result;
}

}  // namespace testing_support
