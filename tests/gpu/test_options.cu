// The options of a fit: metrics, weights, points that are not finite, empty clusters, several
// seedings.
#include <functional>

#include "../gpu_test.hpp"
#include "../reference_options.hpp"

namespace {

using namespace testing_support;

template <class T>
class options : public gpu_test {};
TYPED_TEST_SUITE(options, element_types, element_names);

using labels_vector = std::vector<std::int32_t>;
using weights_vector = std::vector<double>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

struct metric_case {
  fk::metric metric;
  measure by;
  char const* name;
};
constexpr metric_case kMetrics[] = {
    {fk::metric::euclidean, measure::euclidean, "euclidean"},
    {fk::metric::cosine, measure::cosine, "cosine"},
    {fk::metric::inner_product, measure::inner_product, "inner_product"}};

struct policy_case {
  fk::empty_cluster policy;
  vacancy empty;
  char const* name;
};
constexpr policy_case kPolicies[] = {
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
layout aligned_heads(std::int64_t h) { return {"nhd_padded", 8, 0, {1, h}, true, 8}; }
layout odd_heads(std::int64_t h) { return {"nhd_odd", 1, 1, {1, h}, true, 7}; }

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

problem_set alone(problem_set const& s, std::size_t p) {
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
  o.stored = [](double value) {
    return element_from_type(element_to_type<centroid_of<T>>(value));
  };
  return o;
}

// Where a fit starts from: scaled to length 1 under cosine.
matrix start_of(reference_options const& o, matrix c) {
  for (std::int64_t j = 0; o.by == measure::cosine && j < c.rows; ++j) reference_to_unit(o, c, j);
  return c;
}

// Points that are not finite belong to no cluster.
labels_vector counted(matrix const& x, labels_vector labels) {
  for (std::int64_t i = 0; i < x.rows; ++i) {
    if (!is_finite_row(x, i)) labels[at(i)] = -1;
  }
  return labels;
}

std::int64_t non_finite_rows(matrix const& x) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < x.rows; ++i) count += is_finite_row(x, i) ? 0 : 1;
  return count;
}

// --- What a fit returns --------------------------------------------------------------------------

::testing::AssertionResult same_values(matrix const& got, matrix const& expected) {
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

::testing::AssertionResult same_labels(labels_vector const& got, labels_vector const& expected) {
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
    slack += o.weight(i) * (distance_slack<T>(o.by, x, i, c, labels[at(i)], distance) +
                            static_cast<double>(x.rows) * std::ldexp(1.0, -52) *
                                std::abs(distance));
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

// --- One update of exact data --------------------------------------------------------------------

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

exact_set exact_problems(std::int64_t b, shape const& s, std::uint64_t seed) {
  exact_set set;
  for (std::int64_t p = 0; p < b; ++p) {
    auto const own = seed + 2 * static_cast<std::uint64_t>(p);
    set.x.push_back(exact_directions(s.n, s.d, own));
    set.c.push_back(exact_directions(s.k, s.d, own + 1));
  }
  return set;
}

// Whole numbers from 0 to 3; the points of one cluster weigh nothing.
weights_vector whole_weights(labels_vector const& labels) {
  weights_vector w;
  std::int32_t const lost = labels[labels.size() / 2];
  for (std::size_t i = 0; i < labels.size(); ++i) {
    w.push_back(labels[i] == lost ? 0 : static_cast<double>((i * 7 + i / 5) % 4));
  }
  return w;
}

std::vector<exact_set> labelled(std::vector<exact_set> sets) {
  for (exact_set& s : sets) s.label();
  return sets;
}

std::vector<exact_set> const& small_sets() {
  static auto const sets = labelled({exact_problems(3, {1, 1, 1}, 1),
                                     exact_problems(3, {60, 9, 5}, 11),
                                     exact_problems(3, {300, 17, 3}, 21),
                                     exact_problems(3, {261, 40, 64}, 31),
                                     exact_problems(3, {130, 33, 100}, 41)});
  return sets;
}

// Clusters over many chunks of the sort, one that has 99 of 100 points, and many of few.
std::vector<exact_set> const& large_sets() {
  static auto const sets = [] {
    std::vector<exact_set> some{exact_problems(3, {5000, 7, 24}, 51),
                                exact_problems(1, {70000, 16, 16}, 61),
                                exact_problems(1, {9000, 3000, 8}, 71)};
    matrix& x = some[1].x[0];
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (std::int64_t e = 0; i % 100 != 0 && e < x.cols; ++e) x(i, e) = x(1, e);
    }
    return labelled(std::move(some));
  }();
  return sets;
}

template <class T>
void expect_one_update(exact_set const& exact, layout const& how, bool search) {
  for (std::size_t number = 0; number < 3; ++number) {
    metric_case const& m = kMetrics[number];
    for (bool const weighted : {false, true}) {
      problem_set s = exact;
      std::vector<matrix> starts, expected;
      for (std::size_t p = 0; p < s.x.size(); ++p) {
        labels_vector const& labels = exact.labels[number][p];
        if (weighted) s.w.push_back(whole_weights(labels));
        auto const o = oracle<T>(m.by, s.weights(p));
        starts.push_back(start_of(o, s.c[p]));
        expected.push_back(reference_update(o, s.x[p], labels, starts[p]));
      }
      for (fk::assign_kernel const kernel : fit_kernels<T>()) {
        SCOPED_TRACE(text(m.name, weighted ? ", weighted, " : ", ", how.name, ", n ",
                          s.x[0].rows, ", k ", s.c[0].rows, ", d ", s.x[0].cols, ", ",
                          fk::to_string(kernel)));
        fk::fit_options what = given(1, 0);
        what.metric = m.metric;
        auto const closed = run_set<T>(s, what, kernel, how);
        what.closing_assignment = false;
        auto const open = run_set<T>(s, what, kernel, how);
        for (std::size_t p = 0; p < s.x.size(); ++p) {
          SCOPED_TRACE(text("problem ", p));
          auto const i = static_cast<std::int64_t>(p);
          labels_vector const& labels = exact.labels[number][p];
          ASSERT_TRUE(same_labels(open.labels_of(i), labels));
          ASSERT_TRUE(same_values(open.centroids_of(i), expected[p]));
          EXPECT_TRUE(index_matches(open.index, i, open.n, open.k, labels));
          fk::fit_status const& status = open.status[p];
          EXPECT_EQ(status.iterations, 1);
          EXPECT_EQ(status.non_finite, 0);
          EXPECT_TRUE(std::isnan(status.inertia));
          // A difference of stored values errs by u of C, its square by 3 u; the sum is in double.
          double const shift = reference_shift(starts[p], expected[p]);
          double const relative =
              4 * unit_roundoff<centroid_of<T>>() +
              2 * static_cast<double>(open.k * open.d + 4) * std::ldexp(1.0, -53);
          EXPECT_NEAR(status.shift, shift, relative * shift);
        }
        EXPECT_TRUE(same_bits(open.centroids, closed.centroids));
        expect_closed(s, m, closed, kernel, search);
      }
    }
  }
}

TYPED_TEST(options, small_one_update_is_exact) {
  for (exact_set const& s : small_sets()) {
    expect_one_update<TypeParam>(s, aligned_heads(3), true);
    expect_one_update<TypeParam>(s, odd_heads(3), false);
  }
}

TYPED_TEST(options, large_one_update_is_exact) {
  for (exact_set const& s : large_sets()) {
    expect_one_update<TypeParam>(s, aligned_heads(static_cast<std::int64_t>(s.x.size())), false);
  }
}

// --- Several updates of other data ---------------------------------------------------------------

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
    double const of_divisor =
        cosine ? relative * reference_length(sizes, j) / divisor : relative;
    for (std::int64_t e = 0; e < before.cols; ++e) {
      double const bound =
          divisor == 0 ? 0
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

TYPED_TEST(options, small_several_updates_belong_together) {
  using T = TypeParam;
  for (shape const& s : {shape{400, 7, 3}, shape{300, 20, 64}, shape{211, 9, 130}}) {
    for (bool const weighted : {false, true}) {
      problem_set const set = normal_problems<T>(3, s, 101, weighted);
      for (metric_case const& m : kMetrics) {
        for (fk::assign_kernel const kernel : fit_kernels<T>()) {
          SCOPED_TRACE(text(m.name, weighted ? ", weighted, " : ", ", s, ", ",
                            fk::to_string(kernel)));
          fk::fit_options what = given(4, 0);
          what.metric = m.metric;
          what.closing_assignment = false;
          auto const before = run_set<T>(set, what, kernel, odd_heads(3));
          what.max_iterations = 5;
          auto const open = run_set<T>(set, what, kernel, odd_heads(3));
          what.closing_assignment = true;
          auto const closed = run_set<T>(set, what, kernel, odd_heads(3));
          for (std::int64_t p = 0; p < 3; ++p) {
            SCOPED_TRACE(text("problem ", p));
            matrix const &x = set.x[at(p)], was = before.centroids_of(p);
            EXPECT_EQ(open.status[at(p)].iterations, 5);
            EXPECT_TRUE(labels_belong<T>(m.by, x, was, open.labels_of(p), kernel));
            EXPECT_TRUE(update_matches<T>(oracle<T>(m.by, set.weights(at(p))), x,
                                          open.labels_of(p), was, open.centroids_of(p)));
          }
          EXPECT_TRUE(same_bits(open.centroids, closed.centroids));
          expect_closed(set, m, closed, kernel);
        }
      }
    }
  }
}

// One step does not raise the inertia beyond what rounding explains: a point's new label is nearest
// within twice score_error among the centroids that are multiplied, and these are off by u |c|, u the
// rounding of half or bfloat16, on either side of the comparison. Distances are two scores
// (euclidean), or a score over |x|. The inertias themselves err by distance_slack, the centroids'
// own rounding counts in second order only.
TYPED_TEST(options, small_inertia_never_rises) {
  using T = TypeParam;
  for (metric_case const& m : {kMetrics[0], kMetrics[1]}) {
    problem_set const s = normal_problems<T>(1, {900, 8, 12}, 121, true);
    auto const o = oracle<T>(m.by, s.w[0]);
    matrix const& x = s.x[0];
    for (fk::assign_kernel const kernel : fit_kernels<T>()) {
      SCOPED_TRACE(text(m.name, ", ", fk::to_string(kernel)));
      fk::fit_options what = given(1, 0);
      what.metric = m.metric;
      double last = kInf, first = 0;
      for (; what.max_iterations <= 10; ++what.max_iterations) {
        auto const run = run_set<T>(s, what, kernel);
        matrix const c = run.centroids_of(0);
        double longest = 0, slack = 0;
        for (std::int64_t j = 0; j < c.rows; ++j) {
          longest = std::max(longest, reference_length(c, j));
        }
        double const rounded = is_half_v<T> ? unit_roundoff<T>() : 0;
        for (std::int64_t i = 0; i < x.rows; ++i) {
          std::int64_t const label = run.labels[at(i)];
          double const length = reference_length(x, i);
          double const distance = reference_distance(m.by, x, i, c, label);
          bool const cosine = m.by == measure::cosine;
          // Scores per distance, and what rounding a centroid changes of one.
          double const scale = cosine ? 1 / length : 2;
          double const moved = cosine ? length * rounded
                                      : (length + longest) * rounded * longest * (1 + rounded);
          double const score = score_error<T>(x.cols, length, longest, on_kernel(kernel));
          slack += o.weight(i) * (scale * 2 * (score + moved) +
                                  2 * distance_slack<T>(m.by, x, i, c, label, distance));
        }
        double const inertia = run.result.inertia;
        ASSERT_LE(inertia, last + slack) << what.max_iterations << " iterations";
        ASSERT_LT(slack, 0.02 * inertia) << "a slack that says nothing";
        if (what.max_iterations == 1) first = inertia;
        last = inertia;
      }
      EXPECT_LT(last, 0.97 * first) << "and it falls";
    }
  }
}

// A point of weight w is w points, in every bit where sums are exact; one of weight 0 is none.
TYPED_TEST(options, small_weights_are_repetitions) {
  using T = TypeParam;
  std::int64_t const n = 300;
  problem_set weighted = exact_problems(1, {n, 12, 20}, 131), repeated = weighted;
  std::vector<std::int64_t> rows;
  weighted.w.emplace_back();
  for (std::int64_t i = 0; i < n; ++i) {
    weighted.w[0].push_back(static_cast<double>(i * 3 % 5));
    for (std::int64_t copy = 0; copy < i * 3 % 5; ++copy) rows.push_back(i);
  }
  repeated.x[0] = take_rows(weighted.x[0], rows);
  for (metric_case const& m : kMetrics) {
    for (fk::assign_kernel const kernel : fit_kernels<T>()) {
      SCOPED_TRACE(text(m.name, ", ", fk::to_string(kernel)));
      fk::fit_options what = given(6, 0);
      what.metric = m.metric;
      auto const one = run_set<T>(weighted, what, kernel);
      auto const many = run_set<T>(repeated, what, kernel);
      EXPECT_TRUE(same_values(one.centroids_of(0), many.centroids_of(0)));
      EXPECT_EQ(one.result.iterations, many.result.iterations);
      EXPECT_EQ(one.status[0].shift, many.status[0].shift);
      for (std::size_t r = 0; r < rows.size(); ++r) {
        ASSERT_EQ(many.labels[r], one.labels[at(rows[r])]) << "copy " << r << " of " << rows[r];
      }
      double sizes = 0;  // of what is added up in double, in another order
      for (std::size_t r = 0; r < rows.size(); ++r) {
        sizes += std::abs(reference_distance(m.by, repeated.x[0], static_cast<std::int64_t>(r),
                                             many.centroids_of(0), many.labels[r]));
      }
      EXPECT_NEAR(one.result.inertia, many.result.inertia,
                  2 * static_cast<double>(rows.size()) * std::ldexp(1.0, -52) * sizes);
    }
  }
}

// --- Points that are not finite ------------------------------------------------------------------

constexpr double kSpoilt[] = {kNan, kInf, -kInf};

// Without the rows that are not finite.
problem_set cleaned(problem_set const& s) {
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

// A fit ends as it does without the rows that are not finite, problem by problem.
template <class T>
void expect_counts_nowhere(problem_set const& s, metric_case const& m, fk::fit_options what,
                           fk::assign_kernel kernel, layout const& how) {
  SCOPED_TRACE(text(m.name, s.w.empty() ? ", n " : ", weighted, n ", s.x[0].rows, ", k ",
                    s.c[0].rows, ", d ", s.x[0].cols, ", closing ", what.closing_assignment, ", ",
                    fk::to_string(kernel)));
  what.metric = m.metric;
  auto const with = run_set<T>(s, what, kernel, how);
  problem_set const clean = cleaned(s);
  std::int64_t non_finite = 0;
  for (std::size_t p = 0; p < s.x.size(); ++p) {
    SCOPED_TRACE(text("problem ", p));
    auto const i = static_cast<std::int64_t>(p);
    auto const without = run_set<T>(alone(clean, p), what, kernel);
    labels_vector expected;
    std::size_t next = 0;
    for (std::int64_t row = 0; row < s.x[p].rows; ++row) {
      expected.push_back(is_finite_row(s.x[p], row) ? without.labels[next++] : 0);
    }
    EXPECT_TRUE(same_labels(with.labels_of(i), expected));
    EXPECT_TRUE(index_matches(with.index, i, with.n, with.k, counted(s.x[p], expected)));
    EXPECT_TRUE(same_values(with.centroids_of(i), without.centroids_of(0)));
    fk::fit_status const &got = with.status[p], &clear = without.status[0];
    EXPECT_EQ(got.iterations, clear.iterations);
    EXPECT_EQ(got.converged, clear.converged);
    EXPECT_EQ(got.shift, clear.shift);
    EXPECT_EQ(got.non_finite, non_finite_rows(s.x[p]));
    EXPECT_EQ(clear.non_finite, 0);
    if (what.closing_assignment) {
      EXPECT_TRUE(inertia_belongs<T>(oracle<T>(m.by, s.weights(p)), s.x[p], with.centroids_of(i),
                                     expected, got.inertia));
    } else {
      EXPECT_TRUE(std::isnan(got.inertia));
    }
    non_finite += got.non_finite;
  }
  EXPECT_EQ(with.result.non_finite, non_finite);
}

// In the first, a middle and the last row, among others; problem 1 of three has none.
template <class T>
void expect_spoilt_rows_count_nowhere(shape const& s) {
  problem_set set = exact_problems(3, s, 141);
  for (std::size_t p : {0, 2}) {
    std::int64_t number = static_cast<std::int64_t>(p);
    for (std::int64_t const row : {std::int64_t{0}, s.n / 2, s.n / 2 + 1, s.n - 1}) {
      for (std::int64_t const feature : {s.d - 1, number % s.d}) {
        set.x[p](row, feature) = kSpoilt[++number % 3];
      }
    }
  }
  for (metric_case const& m : kMetrics) {
    for (bool const weighted : {false, true}) {
      set.w.clear();
      for (std::size_t p = 0; weighted && p < 3; ++p) {
        set.w.push_back(whole_weights(reference_assign(m.by, set.x[p], set.c[p])));
      }
      for (fk::assign_kernel const kernel : fit_kernels<T>()) {
        for (bool const closing : {true, false}) {
          fk::fit_options what = given(5, 0);
          what.closing_assignment = closing;
          expect_counts_nowhere<T>(set, m, what, kernel, closing ? odd_heads(3) : aligned_heads(3));
        }
      }
    }
  }
}

TYPED_TEST(options, small_rows_that_are_not_finite_count_nowhere) {
  for (shape const& s : {shape{500, 10, 8}, shape{130, 9, 3}, shape{270, 20, 100}}) {
    expect_spoilt_rows_count_nowhere<TypeParam>(s);
  }
}

TYPED_TEST(options, large_rows_that_are_not_finite_count_nowhere) {
  for (shape const& s : {shape{20001, 40, 16}, shape{6000, 2100, 8}}) {
    expect_spoilt_rows_count_nowhere<TypeParam>(s);
  }
}

// One value, in every position.
TYPED_TEST(options, small_every_position_of_a_value_that_is_not_finite) {
  using T = TypeParam;
  for (std::int64_t const d : {3, 64, 100}) {
    problem_set s = exact_problems(1, {3 * d + 40, 6, d}, 151);
    for (std::int64_t i = 0; i < 3 * d; ++i) s.x[0](i, i / 3) = kSpoilt[i % 3];
    for (metric_case const& m : kMetrics) {
      for (fk::assign_kernel const kernel : fit_kernels<T>()) {
        expect_counts_nowhere<T>(s, m, given(3, 0), kernel, {});
      }
    }
  }
}

// They do not keep a fit from converging, and do not count in the variance that a tolerance is
// relative to: the first shift is just above or just below it.
TYPED_TEST(options, small_tolerance_with_rows_that_are_not_finite) {
  using T = TypeParam;
  problem_set s = exact_problems(1, {500, 10, 8}, 161);
  for (std::int64_t i = 0; i < 500; i += 7) s.x[0](i, i % 8) = kSpoilt[i % 3];
  for (metric_case const& m : kMetrics) {
    auto const o = oracle<T>(m.by);
    matrix const start = start_of(o, s.c[0]);
    matrix const next =
        reference_update(o, s.x[0], reference_assign(m.by, s.x[0], start), start);
    double const ratio = reference_shift(start, next) / reference_variance(m.by, s.x[0]);
    for (double const factor : {1 - 1e-3, 1 + 1e-3}) {
      for (fk::assign_kernel const kernel : fit_kernels<T>()) {
        SCOPED_TRACE(text(m.name, ", factor ", factor, ", ", fk::to_string(kernel)));
        fk::fit_options what = given(1, factor * ratio);
        what.metric = m.metric;
        auto const run = run_set<T>(s, what, kernel);
        EXPECT_EQ(run.result.converged, factor > 1);
        EXPECT_TRUE(std::isfinite(run.status[0].shift));
      }
    }
    fk::fit_options until = given(300, 1e-4);
    until.metric = m.metric;
    if (m.by != measure::inner_product) {
      EXPECT_TRUE(run_set<T>(s, until).result.converged) << m.name;
    }
  }
}

// A problem of nothing else keeps its centroids; others of the batch go on.
TYPED_TEST(options, small_nothing_but_rows_that_are_not_finite) {
  using T = TypeParam;
  for (metric_case const& m : kMetrics) {
    for (bool const closing : {true, false}) {
      for (fk::assign_kernel const kernel : fit_kernels<T>()) {
        problem_set s = exact_problems(3, {200, 9, 16}, 171);
        s.x[1] = matrix(200, 16, kNan);
        SCOPED_TRACE(text(m.name, ", closing ", closing, ", ", fk::to_string(kernel)));
        fk::fit_options what = given(4, 1e-6);
        what.metric = m.metric;
        what.closing_assignment = closing;
        auto const run = run_set<T>(s, what, kernel, odd_heads(3));
        EXPECT_EQ(run.labels_of(1), labels_vector(200, 0));
        EXPECT_TRUE(same_values(run.centroids_of(1), start_of(oracle<T>(m.by), s.c[1])));
        EXPECT_TRUE(index_matches(run.index, 1, 200, 9, labels_vector(200, -1)));
        EXPECT_EQ(run.status[1].non_finite, 200);
        EXPECT_EQ(run.status[1].iterations, 1);
        EXPECT_EQ(run.status[1].converged, 1);
        EXPECT_EQ(run.status[1].shift, 0);
        if (closing) {
          EXPECT_EQ(run.status[1].inertia, 0);
        }
        for (std::size_t const p : {0, 2}) {
          auto const own = run_set<T>(alone(s, p), what, kernel);
          EXPECT_TRUE(same_bits(slice(run.centroids, static_cast<std::int64_t>(p), 9 * 16),
                                own.centroids));
          EXPECT_GT(own.result.iterations, 1);
        }
      }
    }
  }
}

// Feature 0 of a point is its number.
TYPED_TEST(options, small_random_start_draws_finite_rows) {
  using T = TypeParam;
  std::int64_t const n = 120, k = 60, d = 5;
  std::vector<matrix> x(3, matrix(n, d, 1));
  for (std::size_t p = 0; p < 3; ++p) {
    for (std::int64_t i = 0; i < n; ++i) x[p](i, 0) = static_cast<double>(i);
    for (std::int64_t i = static_cast<std::int64_t>(p); i < n; i += 2) x[p](i, 4) = kSpoilt[i % 3];
  }
  layout const how = odd_heads(3);
  device_matrices<T> const points(x, how);
  device_matrices<centroid_of<T>> const centroids(std::vector<matrix>(3, matrix(k, d)), how);
  fk::fit_options what;
  what.seed = 5;
  fk::init_centroids(points.const_view(), centroids.view(), what);
  for (std::int64_t p = 0; p < 3; ++p) {
    matrix const c = centroids.problem(p);
    std::vector<char> drawn(at(n), 0);
    for (std::int64_t j = 0; j < k; ++j) {
      ASSERT_TRUE(is_finite_row(c, j)) << "problem " << p << ", centroid " << j;
      auto const row = static_cast<std::int64_t>(c(j, 0));
      ASSERT_TRUE(row >= 0 && row < n && is_finite_row(x[at(p)], row)) << row;
      ASSERT_EQ(drawn[at(row)]++, 0) << "point " << row << " is drawn twice";
    }
  }
}

}  // namespace
