// What the GPU tests of options share: metrics and policies with their oracle, batches of problems
// with weights, and what labels, index and inertia of a fit have to be.
#pragma once

#include <utility>

#include "gpu_test.hpp"
#include "reference_options.hpp"

namespace testing_support {

using labels_vector = std::vector<std::int32_t>;
using weights_vector = std::vector<double>;

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();

inline std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

struct metric_case {
  fk::metric metric;
  measure by;
  char const* name;
};
inline constexpr metric_case kMetrics[] = {
    {fk::metric::euclidean, measure::euclidean, "euclidean"},
    {fk::metric::cosine, measure::cosine, "cosine"},
    {fk::metric::inner_product, measure::inner_product, "inner_product"}};

struct policy_case {
  fk::empty_cluster policy;
  vacancy empty;
  char const* name;
};
inline constexpr policy_case kPolicies[] = {
    {fk::empty_cluster::keep, vacancy::keep, "keep"},
    {fk::empty_cluster::farthest_point, vacancy::farthest_point, "farthest_point"},
    {fk::empty_cluster::split_largest, vacancy::split_largest, "split_largest"}};

// The problems of a batch; no weights: every point weighs 1.
struct problem_set {
  std::vector<matrix> x, c;
  std::vector<weights_vector> w;

  weights_vector weights(std::size_t p) const { return w.empty() ? weights_vector{} : w[p]; }
};

// [1][n][h][d], rows far apart: whole vectors of them, and broken ones.
inline layout aligned_heads(std::int64_t h) { return {"nhd_padded", 8, 0, {1, h}, true, 8}; }
inline layout odd_heads(std::int64_t h) { return {"nhd_odd", 1, 1, {1, h}, true, 7}; }

template <class C>
std::vector<C> flat(std::vector<weights_vector> const& w) {
  std::vector<C> all;
  for (weights_vector const& own : w) {
    for (double const value : own) all.push_back(static_cast<C>(value));
  }
  return all;
}

template <class T>
fit_run<T> run_set(problem_set const& s, fk::fit_options what,
                   fk::assign_kernel kernel = fk::assign_kernel::automatic,
                   layout const& how = {}) {
  device_buffer<centroid_of<T>> const weights(flat<centroid_of<T>>(s.w));
  if (!s.w.empty()) what.weights = weights.data();
  return run_fit<T>(s.x, s.c, what, on_kernel(kernel), how, how);
}

inline problem_set alone(problem_set const& s, std::size_t p) {
  problem_set one{{s.x[p]}, {s.c[p]}, {}};
  if (!s.w.empty()) one.w = {s.w[p]};
  return one;
}

template <class T>
reference_options oracle(measure by, weights_vector w = {}, vacancy empty = vacancy::keep) {
  reference_options o;
  o.by = by;
  o.weights = std::move(w);
  o.empty = empty;
  o.stored = [](double value) { return element_from_type(element_to_type<centroid_of<T>>(value)); };
  return o;
}

// Where a fit starts from: scaled to length 1 under cosine.
inline matrix start_of(reference_options const& o, matrix c) {
  for (std::int64_t j = 0; o.by == measure::cosine && j < c.rows; ++j) reference_to_unit(o, c, j);
  return c;
}

// Points that are not finite belong to no cluster.
inline labels_vector counted(matrix const& x, labels_vector labels) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) labels[at(i)] = -1;
  }
  return labels;
}

inline std::int64_t non_finite_rows(matrix const& x) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) count += is_finite_row(x, i) ? 0 : 1;
  return count;
}

// --- What a fit returns --------------------------------------------------------------------------

inline ::testing::AssertionResult same_values(matrix const& got, matrix const& expected) {
  for (std::int64_t j = 0; j < expected.rows; ++j) {
    for (std::int64_t e = 0; e < expected.cols; ++e) {
      if (got(j, e) == expected(j, e)) continue;
      return ::testing::AssertionFailure()
             << "cluster " << j << ", feature " << e << " is " << text(std::hexfloat, got(j, e))
             << ", the oracle says " << text(std::hexfloat, expected(j, e));
    }
  }
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult same_labels(labels_vector const& got,
                                              labels_vector const& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (got[i] != expected[i]) {
      return ::testing::AssertionFailure()
             << "point " << i << " has label " << got[i] << ", the oracle says " << expected[i];
    }
  }
  return ::testing::AssertionSuccess();
}

// Every label has a score (x.c, and for euclidean less |c|^2/2) of what is multiplied that is within
// rounding of the best one's: twice the error of a score, and that of the oracle's own sums.
template <class T>
::testing::AssertionResult labels_belong(measure by, matrix const& x, matrix const& masters,
                                         labels_vector const& labels, fk::assign_kernel kernel) {
  matrix const c = assignment_centroids<T>(masters);
  weights_vector halves;
  double longest = 0;
  for (std::int64_t j = 0; j < c.rows; ++j) {
    halves.push_back(by == measure::euclidean ? reference_dot(c, j, c, j) / 2 : 0);
    longest = std::max(longest, reference_length(c, j));
  }
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int32_t const label = labels[at(i)];
    if (!is_finite_row(x, i)) {
      if (label == 0) continue;
      return ::testing::AssertionFailure() << "point " << i << " is not finite, label " << label;
    }
    if (label < 0 || label >= c.rows) {
      return ::testing::AssertionFailure() << "point " << i << " has label " << label;
    }
    double best = -kInf;
    std::int64_t nearest = 0;
    for (std::int64_t j = 0; j < c.rows; ++j) {
      double const score = reference_dot(x, i, c, j) - halves[at(j)];
      if (score <= best) continue;
      best = score;
      nearest = j;
    }
    double const own = reference_dot(x, i, c, label) - halves[at(label)];
    double const length = reference_length(x, i);
    double const slack = 2 * score_error<T>(x.cols, length, longest, on_kernel(kernel)) +
                         2 * static_cast<double>(x.cols + 4) * std::ldexp(1.0, -53) *
                             (length * longest + longest * longest / 2);
    if (!(best - own <= slack)) {
      return ::testing::AssertionFailure()
             << "point " << i << " got centroid " << label << " with score " << own << ", best is "
             << nearest << " with " << best << ", rounding explains " << slack;
    }
  }
  return ::testing::AssertionSuccess();
}

// Every centroid against the oracle's update of `before`. A sum of m terms w x (under cosine w x /
// |x|, whose factor is three roundings) errs by at most (m + 3) u of the sum of their sizes, and a
// sum of m weights by m u of itself; twice that covers the higher orders. Divided by the sum of
// weights, or by the length, which errs by no more than the sum does; the quotient rounds once. The
// oracle's own double sums err likewise with 2^-53.
template <class T>
::testing::AssertionResult update_matches(reference_options const& o, matrix const& x,
                                          labels_vector const& labels, matrix const& before,
                                          matrix const& got) {
  double const unit = unit_roundoff<centroid_of<T>>() + std::ldexp(1.0, -53);
  matrix const expected = reference_update(o, x, labels, before);
  matrix sizes(before.rows, before.cols), sums(before.rows, before.cols);
  weights_vector mass(at(before.rows), 0), count(at(before.rows), 0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int64_t const j = labels[at(i)];
    std::vector<double> const row = reference_summand(o.by, x, i);
    for (std::int64_t e = 0; e < x.cols; ++e) {
      sizes(j, e) += o.weight(i) * std::abs(row[at(e)]);
      sums(j, e) += o.weight(i) * row[at(e)];
    }
    mass[at(j)] += o.weight(i);
    ++count[at(j)];
  }
  for (std::int64_t j = 0; j < before.rows; ++j) {
    bool const cosine = o.by == measure::cosine;
    double const divisor = cosine ? reference_length(sums, j) : mass[at(j)];
    double const relative = 2 * (count[at(j)] + 3) * unit;
    double const of_divisor = cosine ? relative * reference_length(sizes, j) / divisor : relative;
    for (std::int64_t e = 0; e < before.cols; ++e) {
      double const bound = divisor == 0 ? 0
                                        : relative * sizes(j, e) / divisor +
                                              (of_divisor + 2 * unit) * std::abs(expected(j, e));
      if (!(std::abs(got(j, e) - expected(j, e)) <= bound)) {
        return ::testing::AssertionFailure()
               << "cluster " << j << ", feature " << e << " is " << got(j, e)
               << ", the oracle says " << expected(j, e) << ", rounding explains " << bound;
      }
    }
    double const length = reference_length(got, j);
    if (cosine && divisor > 0 && !(std::abs(length - 1) <= 1e-6)) {
      return ::testing::AssertionFailure() << "centroid " << j << " has length " << length;
    }
  }
  return ::testing::AssertionSuccess();
}

// The inertia is that of the labels and centroids: distances are off by distance_slack, and the sum
// of n numbers is in double.
template <class T>
::testing::AssertionResult inertia_belongs(reference_options const& o, matrix const& x,
                                           matrix const& c, labels_vector const& labels,
                                           double inertia) {
  double const expected = reference_inertia(o, x, c, labels);
  double slack = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) continue;
    double const distance = reference_distance(o.by, x, i, c, labels[at(i)]);
    slack +=
        o.weight(i) * (distance_slack<T>(o.by, x, i, c, labels[at(i)], distance) +
                       static_cast<double>(x.rows) * std::ldexp(1.0, -52) * std::abs(distance));
  }
  if (std::abs(inertia - expected) <= slack) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "inertia is " << inertia << ", the oracle says "
                                       << expected << ", rounding explains " << slack;
}

// After a closing assignment: labels, index, inertia and counts belong to the returned centroids.
template <class T>
void expect_closed(problem_set const& s, metric_case const& m, fit_run<T> const& run,
                   fk::assign_kernel kernel, bool search = true) {
  std::int64_t non_finite = 0;
  double inertia = 0;
  for (std::size_t p = 0; p < s.x.size(); ++p) {
    SCOPED_TRACE(text("closed, problem ", p));
    auto const i = static_cast<std::int64_t>(p);
    labels_vector const labels = run.labels_of(i);
    matrix const c = run.centroids_of(i);
    if (search) {
      EXPECT_TRUE(labels_belong<T>(m.by, s.x[p], c, labels, kernel));
    }
    EXPECT_TRUE(index_matches(run.index, i, run.n, run.k, counted(s.x[p], labels)));
    EXPECT_TRUE(inertia_belongs<T>(oracle<T>(m.by, s.weights(p)), s.x[p], c, labels,
                                   run.status[p].inertia));
    EXPECT_EQ(run.status[p].non_finite, non_finite_rows(s.x[p]));
    non_finite += non_finite_rows(s.x[p]);
    inertia += run.status[p].inertia;
  }
  EXPECT_EQ(run.result.non_finite, non_finite);
  EXPECT_EQ(run.result.inertia, inertia);
}

// Points and centroids whose scores, and under cosine lengths and directions too, are exact; and the
// oracle's first labels by each metric.
struct exact_set : problem_set {
  std::vector<labels_vector> labels[3];  // by metric, problem

  void label() {
    for (std::size_t m = 0; m < 3; ++m) {
      for (std::size_t p = 0; p < x.size(); ++p) {
        labels[m].push_back(reference_assign(kMetrics[m].by, x[p], c[p]));
      }
    }
  }
};

inline exact_set exact_problems(std::int64_t b, shape const& s, std::uint64_t seed) {
  exact_set set;
  for (std::int64_t p = 0; p < b; ++p) {
    auto const own = seed + 2 * static_cast<std::uint64_t>(p);
    set.x.push_back(exact_directions(s.n, s.d, own));
    set.c.push_back(exact_directions(s.k, s.d, own + 1));
  }
  return set;
}

// Whole numbers from 0 to 3; the points of one cluster weigh nothing.
inline weights_vector whole_weights(labels_vector const& labels) {
  weights_vector w;
  std::int32_t const lost = labels[labels.size() / 2];
  for (std::size_t i = 0; i < labels.size(); ++i) {
    w.push_back(labels[i] == lost ? 0 : static_cast<double>((i * 7 + i / 5) % 4));
  }
  return w;
}

template <class T>
problem_set normal_problems(std::int64_t b, shape const& s, std::uint64_t seed, bool weighted) {
  problem_set set;
  for (std::int64_t p = 0; p < b; ++p) {
    auto const own = seed + 2 * static_cast<std::uint64_t>(p);
    set.x.push_back(rounded_to<T>(normal_points(s.n, s.d, own)));
    set.c.push_back(first_rows(set.x.back(), s.k));
    if (!weighted) continue;
    set.w.push_back(rounded_to<float>(normal_points(s.n, 1, own + 1)).values);
    for (double& value : set.w.back()) value = std::abs(value);
  }
  return set;
}

inline constexpr double kSpoilt[] = {kNan, kInf, -kInf};

// Without the rows that are not finite.
inline problem_set cleaned(problem_set const& s) {
  problem_set clean;
  for (std::size_t p = 0; p < s.x.size(); ++p) {
    std::vector<std::int64_t> rows;
    weights_vector w;
    for (std::int64_t i = 0; i < s.x[p].rows; ++i) {
      if (!is_finite_row(s.x[p], i)) continue;
      rows.push_back(i);
      if (!s.w.empty()) w.push_back(s.w[p][at(i)]);
    }
    clean.x.push_back(take_rows(s.x[p], rows));
    clean.c.push_back(s.c[p]);
    if (!s.w.empty()) clean.w.push_back(w);
  }
  return clean;
}

// Points that are not finite and empty clusters in some problems only.
template <class T>
problem_set mixed_problems(std::int64_t n, std::uint64_t seed) {
  problem_set s = normal_problems<T>(3, {n, 10, 24}, seed, true);
  for (std::int64_t i = 0; i < n; i += 9) s.x[1](i, i % 24) = kSpoilt[i % 3];
  for (std::int64_t j = 0; j < 10; ++j) {
    for (std::int64_t e = 0; e < 24; ++e) {
      if (!is_finite_row(s.c[1], j)) s.c[1](j, e) = static_cast<double>(j + e) / 16;
      if (j == 4 || j == 7) s.c[2](j, e) = s.c[2](1, e);
    }
  }
  return s;
}

}  // namespace testing_support
