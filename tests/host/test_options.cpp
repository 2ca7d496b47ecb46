// The options of the CPU backend against the fp64 oracle: metrics, weights, empty clusters, points
// that are not finite; each over point types, batches, layouts and numbers of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <flash_kmeans/host.hpp>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "data.hpp"
#include "host_options.hpp"
#include "host_test.hpp"
#include "reference.hpp"
#include "reference_options.hpp"

namespace {

using namespace testing_support;

constexpr double kInf = std::numeric_limits<double>::infinity();
template <class T>
class with_options : public ::testing::Test {};
TYPED_TEST_SUITE(with_options, point_types, type_names);

template <class T>
class with_options_float : public ::testing::Test {};
TYPED_TEST_SUITE(with_options_float, float_types, type_names);

// ---- Metrics and weights ----

TYPED_TEST(with_options, predict_takes_the_nearest_by_the_metric) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 2, n = 501, k = 35;
  for (std::int64_t const d : {1, 3, 24, 131, 300}) {
    for (measure const by : kMeasures) {
      for (layout const as : {layout::contiguous, layout::padded, layout::interleaved}) {
        SCOPED_TRACE(std::string(name_of(by)) + ", d " + std::to_string(d));
        std::vector<matrix> xs, cs;
        for (std::uint64_t i = 0; i < b; ++i) {
          xs.push_back(integers<TypeParam>(n, d, 40 + i));
          cs.push_back(some_centroids<TypeParam>(k, d, 50 + i, {7, 30}));
        }
        stored<TypeParam> points(xs, as);
        stored<centroid> centroids(cs, as);
        fk::query_options query;
        query.metric = metric_of(by);
        labels_vector labels(at(b * n), -9);
        std::vector<centroid> distances(at(b * n), -9);
        fk::host::predict(points.const_view(), centroids.const_view(),
                          {labels.data(), distances.data()}, query);
        double inertia = 0, size = 0;
        for (std::int64_t p = 0; p < b; ++p) {
          matrix const &x = xs[at(p)], &c = cs[at(p)];
          labels_vector const nearest = reference_assign(by, x, c);
          for (std::int64_t i = 0; i < n; ++i) {
            std::int32_t const label = labels[at(p * n + i)];
            ASSERT_GE(label, 0);
            ASSERT_LT(label, k);
            ASSERT_NE(label, 7);  // ties go to the lowest index
            ASSERT_NE(label, 30);
            double const distance = reference_distance(by, x, i, c, label);
            ASSERT_LE(distance - reference_distance(by, x, i, c, nearest[at(i)]),
                      slack_of_label<centroid>(by, x, i, c, label) +
                          slack_of_label<centroid>(by, x, i, c, nearest[at(i)]))
                << "problem " << p << ", point " << i << " has label " << label << ", nearest is "
                << nearest[at(i)];
            double const scale =
                by == measure::cosine
                    ? 2
                    : std::abs(distance) + reference_length(x, i) * reference_length(c, label);
            ASSERT_NEAR(distances[at(p * n + i)], distance,
                        2 * growth(d + 8, 0x1p-53) * scale + kUnit<centroid> * std::abs(distance))
                << "problem " << p << ", point " << i;
            inertia += distance;
            size += scale;
          }
        }
        EXPECT_NEAR(fk::host::inertia(points.const_view(), centroids.const_view(), query), inertia,
                    2 * growth(b * n + d + 8, 0x1p-53) * size);
      }
    }
  }
}

// Products of integers are exact, so are ties: labels and distances must be the oracle's.
TYPED_TEST(with_options, inner_products_of_integers_are_exact) {
  using centroid = fk::centroid_t<TypeParam>;
  for (shape const& s :
       {shape{1, 1, 1}, shape{100, 17, 3}, shape{481, 64, 24}, shape{60, 33, 257}}) {
    SCOPED_TRACE(text(s));
    matrix const x = integers<TypeParam>(s.n, s.d, 1), c = integers<TypeParam>(s.k, s.d, 2);
    std::vector<double> const w = some_weights(s.n, 3);
    std::vector<centroid> const weights = stored_weights<centroid>({w});
    stored<TypeParam> points(x, layout::padded);
    stored<centroid> centroids(c, layout::padded);
    fk::query_options query;
    query.metric = fk::metric::inner_product;
    query.weights = weights.data();
    labels_vector labels(at(s.n), -9);
    std::vector<centroid> distances(at(s.n), -9);
    fk::host::predict(points.const_view(), centroids.const_view(),
                      {labels.data(), distances.data()}, query);
    labels_vector const expected = reference_assign(measure::inner_product, x, c);
    EXPECT_EQ(labels, expected);
    for (std::int64_t i = 0; i < s.n; ++i) {
      ASSERT_EQ(distances[at(i)], -reference_dot(x, i, c, expected[at(i)])) << "point " << i;
    }
    reference_options o;
    o.by = measure::inner_product;
    o.weights = w;
    EXPECT_EQ(fk::host::inertia(points.const_view(), centroids.const_view(), query),
              reference_inertia(o, x, c, expected));
    query.metric = fk::metric::euclidean;
    o.by = measure::euclidean;
    EXPECT_EQ(fk::host::inertia(points.const_view(), centroids.const_view(), query),
              reference_inertia(o, x, c, reference_assign(x, c)));
  }
}

// Weighted sums of integers are exact in double and divided once. Directions are not: a sum of n
// terms, its length and a quotient.
template <class C>
void expect_centroids(measure by, matrix const& got, matrix const& expected, std::int64_t n) {
  ASSERT_EQ(got.values.size(), expected.values.size());
  for (std::size_t e = 0; e < got.values.size(); ++e) {
    if (by == measure::cosine) {
      ASSERT_NEAR(got.values[e], expected.values[e],
                  4 * growth(n + got.cols + 8, 0x1p-53) + 2 * kUnit<C>)
          << "centroid " << e / at(got.cols) << ", feature " << e % at(got.cols);
    } else {
      ASSERT_EQ(got.values[e], expected.values[e])
          << "centroid " << e / at(got.cols) << ", feature " << e % at(got.cols);
    }
  }
}

TYPED_TEST(with_options, one_update_is_the_oracle_s) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 2, k = 9;
  for (shape const& s : {shape{60, k, 5}, shape{2600, k, 19}, shape{5000, k, 33}}) {
    for (measure const by : kMeasures) {
      for (bool const weighted : {false, true}) {
        SCOPED_TRACE(std::string(name_of(by)) + (weighted ? ", weighted, " : ", ") + text(s));
        std::vector<matrix> xs, cs;
        std::vector<std::vector<double>> ws;
        labels_vector labels;
        for (std::uint64_t i = 0; i < b; ++i) {
          xs.push_back(integers<TypeParam>(s.n, s.d, 60 + i));
          for (std::int64_t f = 0; f < s.d; ++f) xs.back()(4, f) = 0;  // a row without direction
          cs.push_back(some_centroids<TypeParam>(k, s.d, 70 + i));
          ws.push_back(some_weights(s.n, 80 + i));
          // Cluster 2 has no points, cluster 5 only points without weight; some labels are outside.
          labels_vector own = reference_assign(by, xs.back(), cs.back());
          for (std::int64_t p = 0; p < s.n; ++p) {
            std::int32_t& label = own[at(p)];
            if (label == 2 || (label == 5 && ws.back()[at(p)] != 0)) label = 3;
            if (p % 11 == 0) label = p % 2 == 0 ? -1 : static_cast<std::int32_t>(k);
          }
          labels.insert(labels.end(), own.begin(), own.end());
        }
        std::vector<centroid> const weights = stored_weights<centroid>(ws);
        fk::update_options update;
        update.metric = metric_of(by);
        if (weighted) update.weights = weights.data();
        for (layout const as : {layout::contiguous, layout::padded, layout::interleaved}) {
          stored<TypeParam> points(xs, as);
          stored<centroid> centroids(cs, as);
          index_memory index(b, s.n, k);
          std::vector<double> shifts(at(b), kNan);
          double const returned =
              fk::host::update_centroids(points.const_view(), labels.data(), centroids.view(),
                                         {index.view(), shifts.data()}, update);
          EXPECT_EQ(returned, shifts[0] + shifts[1]);
          expect_index(index, labels, b, s.n, k);  // counts are numbers of points, weights or not
          EXPECT_TRUE(centroids.poison_is_untouched());
          for (std::int64_t p = 0; p < b; ++p) {
            reference_options o;
            o.by = by;
            o.stored = as_stored<centroid>;
            if (weighted) o.weights = ws[at(p)];
            labels_vector const own(labels.begin() + p * s.n, labels.begin() + (p + 1) * s.n);
            matrix const expected = reference_update(o, xs[at(p)], own, cs[at(p)]);
            expect_centroids<centroid>(by, centroids.get(p), expected, s.n);
            double const moved = reference_shift(cs[at(p)], centroids.get(p));
            EXPECT_NEAR(shifts[at(p)], moved, 2 * growth(k * s.d + 3, 0x1p-53) * moved);
            for (std::int64_t f = 0; f < s.d; ++f) {
              EXPECT_EQ(centroids.get(p)(2, f), cs[at(p)](2, f));
              if (weighted) {
                EXPECT_EQ(centroids.get(p)(5, f), cs[at(p)](5, f));
              }
            }
          }
        }
      }
    }
  }
}

// Whole fits, with two clusters that are empty at first.
TYPED_TEST(with_options, fits_follow_the_oracle) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 3, n = 130, k = 11, d = 9;
  for (measure const by : kMeasures) {
    for (vacancy const empty : kVacancies) {
      for (bool const weighted : {false, true}) {
        SCOPED_TRACE(std::string(name_of(by)) + ", " + name_of(empty) +
                     (weighted ? ", weighted" : ""));
        std::vector<matrix> xs, cs;
        std::vector<std::vector<double>> ws;
        for (std::uint64_t i = 0; i < b; ++i) {
          // So far apart that no point comes to lie on a tie between two means.
          xs.push_back(std::is_unsigned_v<TypeParam> ? integer_points(n, d, 90 + i, 0, 120)
                                                     : integer_points(n, d, 90 + i, -60, 60));
          for (std::int64_t f = 0; f < d; ++f) xs.back()(17, f) = 0;
          cs.push_back(some_centroids<TypeParam>(k, d, 100 + i, {5, 8}, 15));
          ws.push_back(some_weights(n, 110 + i));
        }
        std::vector<centroid> const weights = stored_weights<centroid>(ws);
        fk::fit_options o;
        o.init = fk::init_method::given;
        o.metric = metric_of(by);
        o.empty_cluster = policy_of(empty);
        if (weighted) o.weights = weights.data();
        o.tolerance = 0;
        for (int const iterations : {1, 2, 5}) {
          o.max_iterations = iterations;
          for (layout const as : {layout::contiguous, layout::padded, layout::interleaved}) {
            fitted const run = run_fit<TypeParam>(xs, cs, o, {}, as);
            expect_index(run.index, run.labels, b, n, k);
            for (std::int64_t p = 0; p < b; ++p) {
              SCOPED_TRACE("problem " + std::to_string(p) + ", " + std::to_string(iterations) +
                           " iterations");
              reference_options ref;
              ref.by = by;
              ref.empty = empty;
              ref.stored = as_stored<centroid>;
              if (weighted) ref.weights = ws[at(p)];
              auto const expected = reference_fit(ref, xs[at(p)], cs[at(p)], iterations, 0);
              expect_centroids<centroid>(by, run.centroids[at(p)], expected.centroids, n);
              labels_vector const own(run.labels.begin() + p * n, run.labels.begin() + (p + 1) * n);
              ASSERT_EQ(own, expected.labels);
              fk::fit_status const& status = run.status[at(p)];
              EXPECT_EQ(status.iterations, expected.iterations);
              EXPECT_EQ(status.converged, expected.converged ? 1 : 0);
              EXPECT_EQ(status.non_finite, 0);
              // n terms of at most 3 x 9 x 120^2 < 2^19, or of weight x cosine, where centroids are a
              // rounding off the oracle's; a shift has k d terms no larger.
              double const off = static_cast<double>(n) *
                                 (by == measure::cosine ? 6 * growth(n, kUnit<centroid>)
                                                        : 0x1p19 * growth(n + k * d, 0x1p-53));
              EXPECT_NEAR(status.inertia, expected.inertia, off);
              EXPECT_NEAR(status.shift, expected.shift, off);
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(with_options, a_tolerance_under_cosine_is_relative_to_the_variance_of_directions) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix x = integers<TypeParam>(300, 6, 120);
  for (std::int64_t f = 0; f < 6; ++f) x(9, f) = 0;
  for (std::int64_t i = 0; i < 300; i += 2) {
    for (std::int64_t f = 0; f < 6; ++f) x(i, f) *= 8;  // tells directions from points
  }
  matrix const c = some_centroids<TypeParam>(7, 6, 121);
  reference_options o;
  o.by = measure::cosine;
  o.stored = as_stored<centroid>;
  auto const first = reference_fit(o, x, c, 1, 0);
  fk::fit_options fit;
  fit.init = fk::init_method::given;
  fit.metric = fk::metric::cosine;
  fit.max_iterations = 2;
  double const ratio = first.shift / reference_variance(measure::cosine, x);
  // The shift is that of centroids that are a rounding off the oracle's.
  for (double const factor : {1 + 1e-4, 1 - 1e-4}) {
    fit.tolerance = factor * ratio;
    fitted const run = run_fit<TypeParam>({x}, {c}, fit);
    EXPECT_EQ(run.result.iterations, factor > 1 ? 1 : 2);
  }
}

TYPED_TEST(with_options, points_of_zeros_have_no_direction) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix x = integers<TypeParam>(40, 5, 130);
  for (std::int64_t i = 0; i < 40; i += 4) {
    for (std::int64_t f = 0; f < 5; ++f) x(i, f) = 0;
  }
  for (std::int64_t i = 1; i < 40; ++i) {
    if (i % 4 != 0) x(i, 4) = 3;
  }
  matrix c = some_centroids<TypeParam>(4, 5, 131);
  for (std::int64_t f = 0; f < 5; ++f) c(2, f) = 0;  // nor has such a centroid
  fk::query_options query;
  query.metric = fk::metric::cosine;
  stored<TypeParam> points(x);
  stored<centroid> centroids(c);
  labels_vector labels(40, -9);
  std::vector<centroid> distances(40, -9);
  fk::host::predict(points.const_view(), centroids.const_view(), {labels.data(), distances.data()},
                    query);
  for (std::int64_t i = 0; i < 40; ++i) {
    if (i % 4 == 0) {
      EXPECT_EQ(labels[at(i)], 0) << i;
      EXPECT_EQ(distances[at(i)], 1) << i;
    } else if (labels[at(i)] == 2) {
      EXPECT_EQ(distances[at(i)], 1) << i;
    }
  }
  // A cluster of nothing else is empty; the zero centroid stays zero as long as it is.
  stored<centroid> zeros(matrix(2, 5, 0));
  fk::fit_options o;
  o.init = fk::init_method::given;
  o.metric = fk::metric::cosine;
  o.max_iterations = 1;
  labels.assign(40, -9);
  fk::host::fit(points.const_view(), zeros.view(), labels.data(), o);
  EXPECT_NEAR(reference_length(zeros.get(), 0), 1, 5 * kUnit<centroid>);
  for (std::int64_t f = 0; f < 5; ++f) EXPECT_EQ(zeros.get()(1, f), 0);
}

TEST(cosine, directions_that_cancel_leave_a_centroid_where_it_is) {
  matrix const x(4, 2);
  matrix points = x;
  points(0, 0) = 3, points(1, 0) = -5, points(2, 1) = 2, points(3, 1) = -7;
  stored<float> p(points);
  stored<float> c(matrix(2, 2, 0.5));
  labels_vector const labels{0, 0, 0, 0};
  fk::update_options update;
  update.metric = fk::metric::cosine;
  EXPECT_EQ(fk::host::update_centroids(p.const_view(), labels.data(), c.view(), {}, update), 0);
  EXPECT_EQ(c.get().values, matrix(2, 2, 0.5).values);
}

TYPED_TEST(with_options, weights_of_zero_take_points_away) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 200, k = 6, d = 4;
  matrix const x = integers<TypeParam>(n, d, 140), c = some_centroids<TypeParam>(k, d, 141);
  std::vector<centroid> weights(at(n), 1);
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < n; ++i) {
    if (i % 3 == 0) {
      weights[at(i)] = 0;
    } else {
      kept.push_back(i);
    }
  }
  for (measure const by : kMeasures) {
    SCOPED_TRACE(name_of(by));
    fk::fit_options o;
    o.init = fk::init_method::given;
    o.metric = metric_of(by);
    o.tolerance = 0;
    o.max_iterations = 8;
    fitted const without = run_fit<TypeParam>({take_rows(x, kept)}, {c}, o);
    o.weights = weights.data();
    fitted const with = run_fit<TypeParam>({x}, {c}, o);
    EXPECT_EQ(with.centroids[0].values, without.centroids[0].values);
    EXPECT_EQ(with.result.iterations, without.result.iterations);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      EXPECT_EQ(with.labels[at(kept[i])], without.labels[i]);
    }
    EXPECT_NEAR(with.result.inertia, without.result.inertia, 2 * growth(n, 0x1p-53) * 256 * n);
    // No weight at all: nothing moves.
    std::vector<centroid> const nothing(at(n), 0);
    o.weights = nothing.data();
    for (vacancy const empty : kVacancies) {
      o.empty_cluster = policy_of(empty);
      matrix start = c;
      reference_options ref;
      ref.stored = as_stored<centroid>;
      if (by == measure::cosine) {
        for (std::int64_t j = 0; j < k; ++j) reference_to_unit(ref, start, j);
      }
      fitted const still = run_fit<TypeParam>({x}, {c}, o);
      expect_centroids<centroid>(by, still.centroids[0], start, 1);
      EXPECT_EQ(still.result.iterations, 1);
      EXPECT_EQ(still.result.inertia, 0);
    }
  }
}

// ---- Empty clusters, by hand ----

fk::fit_options one_update(fk::empty_cluster policy) {
  fk::fit_options o;
  o.init = fk::init_method::given;
  o.max_iterations = 1;
  o.tolerance = 0;
  o.empty_cluster = policy;
  return o;
}

TYPED_TEST(with_options, farthest_points_become_centroids) {
  using centroid = fk::centroid_t<TypeParam>;
  // All points but 60 belong to the centroid at 10; those at 90 and 100 do too (120 is farther).
  matrix const x = column({10, 8, 30, 12, 60, 30, 9, 11});
  auto fit = [&](std::vector<double> const& centroids, std::vector<double> const& w) {
    std::vector<centroid> const weights = stored_weights<centroid>({w});
    fk::fit_options o = one_update(fk::empty_cluster::farthest_point);
    if (!w.empty()) o.weights = weights.data();
    return run_fit<TypeParam>({x}, {column(centroids)}, o).centroids[0].values;
  };
  // Two empty clusters: 2 and 3. Farthest from 10 are the first 30 and the second one.
  EXPECT_EQ(fit({10, 60, 120, 125}, {}), (std::vector<double>{10, 60, 30, 30}));
  // Weighted: the second 30 weighs nothing and is not taken, 8 and 12 are as far as one another.
  EXPECT_EQ(fit({10, 60, 120, 125}, {1, 2, 1, 1, 1, 0, 1, 1}),
            (std::vector<double>{10.5, 60, 30, 8}));
  // 60 is all of its cluster and the farthest point: it becomes another centroid, its own one stays.
  EXPECT_EQ(fit({16, 86, 127, 126}, {}),
            (std::vector<double>{as_stored<centroid>(80.0 / 6), 86, 60, 30}));
  // Fewer points that weigh something than empty clusters: the rest stays.
  EXPECT_EQ(fit({10, 60, 120, 125}, {0, 0, 0, 0, 3, 0, 0, 0}),
            (std::vector<double>{60, 60, 120, 125}));
}

// What moves is no label: without the closing assignment labels and by-products are those of the last
// assignment, whatever became of empty clusters.
TYPED_TEST(with_options, by_products_know_nothing_of_moved_points) {
  matrix const x = column({10, 8, 30, 12, 60, 30, 9, 11});
  for (vacancy const empty : kVacancies) {
    fk::fit_options o = one_update(policy_of(empty));
    o.closing_assignment = false;
    fitted const run = run_fit<TypeParam>({x}, {column({10, 60, 120, 125})}, o);
    EXPECT_EQ(run.labels, (labels_vector{0, 0, 0, 0, 1, 0, 0, 0})) << name_of(empty);
    expect_index(run.index, run.labels, 1, 8, 4);
    EXPECT_EQ(run.centroids[0](2, 0) == 120, empty == vacancy::keep) << name_of(empty);
  }
}

TYPED_TEST(with_options, the_largest_cluster_is_split) {
  using centroid = fk::centroid_t<TypeParam>;
  auto const q = [](double value) { return as_stored<centroid>(value); };
  double const more = 1 + 1.0 / 1024, less = 1 - 1.0 / 1024;
  matrix x(13, 2);  // 8 points at (10, 20), 5 at (100, 50)
  for (std::int64_t i = 0; i < 13; ++i) {
    x(i, 0) = i < 8 ? 10 : 100;
    x(i, 1) = i < 8 ? 20 : 50;
  }
  matrix c(5, 2);
  double const start[] = {11, 120, 90, 125, 126};
  for (std::int64_t j = 0; j < 5; ++j) {
    c(j, 0) = start[j];
    c(j, 1) = j == 0 ? 19 : (j == 2 ? 51 : 127);
  }
  // Empty: 1, 3, 4. Cluster 0 has 8 points, then 4; cluster 2 has 5, then 3; then 0 again, with 4.
  fitted const run = run_fit<TypeParam>({x}, {c}, one_update(fk::empty_cluster::split_largest));
  std::vector<double> const expected{
      q(q(10 * less) * less), q(q(20 * more) * more),  // 0, split twice
      q(10 * more),           q(20 * less),            // 1, from 0
      q(100 * less),          q(50 * more),            // 2, split once
      q(100 * more),          q(50 * less),            // 3, from 2
      q(q(10 * less) * more), q(q(20 * more) * less)   // 4, from 0
  };
  EXPECT_EQ(run.centroids[0].values, expected);
  double const moved = reference_shift(c, run.centroids[0]);
  EXPECT_NEAR(run.result.converged ? 0 : run.status[0].shift, moved, 1e-12 * moved);
  // A cluster of points that weigh nothing is empty, however many they are: 0, 1, 3 and 4 take from
  // 2, which has 5 points, from 2, from 0, which then has 2, and from 2.
  std::vector<centroid> weights(13, 0);
  weights[12] = 1;
  fk::fit_options o = one_update(fk::empty_cluster::split_largest);
  o.weights = weights.data();
  fitted const weighted = run_fit<TypeParam>({x}, {c}, o);
  EXPECT_EQ(weighted.centroids[0](0, 0), q(q(100 * more) * less));
  EXPECT_EQ(weighted.centroids[0](1, 1), q(q(50 * more) * less));
  EXPECT_EQ(weighted.centroids[0](3, 0), q(q(100 * more) * more));
  EXPECT_EQ(weighted.centroids[0](2, 0), q(q(q(100 * less) * less) * less));
  // A cluster of one point is not split.
  std::vector<centroid> const one{1, 0, 0};
  o.weights = one.data();
  fitted const kept = run_fit<TypeParam>({column({10, 50, 60})}, {column({11, 55, 120})}, o);
  EXPECT_EQ(kept.centroids[0].values, (std::vector<double>{10, 55, 120}));
}

// ---- Points that are not finite ----

TYPED_TEST(with_options_float, rows_that_are_not_finite_count_nowhere) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 3, n = 260, k = 7, d = 5;
  double const spoiled[] = {kNan, kInf, -kInf};
  std::vector<matrix> xs, clean, cs;
  std::vector<std::vector<double>> ws;
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < n; ++i) {
    if (i % 13 != 2) kept.push_back(i);
  }
  std::vector<std::vector<double>> clean_ws;
  for (std::uint64_t p = 0; p < b; ++p) {
    xs.push_back(integer_points(n, d, 150 + p));
    for (std::int64_t i = 2; i < n; i += 13) xs.back()(i, i % d) = spoiled[i % 3];
    clean.push_back(take_rows(xs.back(), kept));
    cs.push_back(some_centroids<TypeParam>(k, d, 160 + p, {4}));
    ws.push_back(some_weights(n, 170 + p));
    clean_ws.emplace_back();
    for (std::int64_t const i : kept) clean_ws.back().push_back(ws.back()[at(i)]);
  }
  std::vector<centroid> const weights = stored_weights<centroid>(ws);
  std::vector<centroid> const clean_weights = stored_weights<centroid>(clean_ws);
  for (measure const by : kMeasures) {
    for (vacancy const empty : kVacancies) {
      for (bool const weighted : {false, true}) {
        SCOPED_TRACE(std::string(name_of(by)) + ", " + name_of(empty));
        fk::fit_options o;
        o.init = fk::init_method::given;
        o.metric = metric_of(by);
        o.empty_cluster = policy_of(empty);
        o.tolerance = 1e-3;
        if (weighted) o.weights = clean_weights.data();
        fitted const without = run_fit<TypeParam>(clean, cs, o);
        EXPECT_EQ(without.result.non_finite, 0);
        if (weighted) o.weights = weights.data();
        fitted const with = run_fit<TypeParam>(xs, cs, o, {}, layout::interleaved);
        EXPECT_EQ(with.result.non_finite, b * 20);
        EXPECT_EQ(with.result.iterations, without.result.iterations);
        EXPECT_NEAR(with.result.inertia, without.result.inertia,
                    growth(4 * n, 0x1p-53) * 512 * static_cast<double>(b * n));
        labels_vector counted = with.labels;
        for (std::int64_t p = 0; p < b; ++p) {
          EXPECT_EQ(with.centroids[at(p)].values, without.centroids[at(p)].values);
          EXPECT_EQ(with.status[at(p)].non_finite, 20);
          for (std::size_t i = 0; i < kept.size(); ++i) {
            ASSERT_EQ(with.labels[at(p * n + kept[i])], without.labels[at(p * 240) + i]);
          }
          for (std::int64_t i = 2; i < n; i += 13) {
            ASSERT_EQ(with.labels[at(p * n + i)], 0);
            counted[at(p * n + i)] = -1;
          }
        }
        expect_index(with.index, counted, b, n, k);

        stored<TypeParam> points(xs, layout::padded);
        stored<centroid> centroids(with.centroids);
        labels_vector labels(at(b * n), -9);
        std::vector<centroid> distances(at(b * n), -9);
        fk::query_options query;
        query.metric = o.metric;
        query.weights = o.weights;
        fk::host::predict(points.const_view(), centroids.const_view(),
                          {labels.data(), distances.data()}, query);
        EXPECT_EQ(labels, with.labels);
        for (std::int64_t i = 0; i < b * n; ++i) {
          ASSERT_EQ(std::isnan(distances[at(i)]), i % n % 13 == 2) << "point " << i;
        }
        EXPECT_EQ(fk::host::inertia(points.const_view(), centroids.const_view(), query),
                  with.result.inertia);
        // An update by these labels counts the same points.
        stored<centroid> moved(with.centroids), moved_without(with.centroids);
        fk::update_options update;
        update.metric = o.metric;
        update.weights = o.weights;
        index_memory index(b, n, k);
        fk::host::update_centroids(points.const_view(), labels.data(), moved.view(), index.view(),
                                   update);
        expect_index(index, counted, b, n, k);
        fk::host::update_centroids(points.const_view(), counted.data(), moved_without.view(), {},
                                   update);
        for (std::int64_t p = 0; p < b; ++p) {
          EXPECT_EQ(moved.get(p).values, moved_without.get(p).values);
          for (double const value : moved.get(p).values) EXPECT_TRUE(std::isfinite(value));
        }
      }
    }
  }
}

TYPED_TEST(with_options_float, nothing_but_rows_that_are_not_finite) {
  using centroid = fk::centroid_t<TypeParam>;
  for (fk::init_method const init : {fk::init_method::random, fk::init_method::given}) {
    fk::fit_options o;
    o.init = init;
    matrix const start(2, 3, 1);
    fitted const run = run_fit<TypeParam>({matrix(9, 3, kNan)}, {start}, o);
    EXPECT_EQ(run.labels, labels_vector(9, 0));
    EXPECT_EQ(run.result.non_finite, 9);
    EXPECT_EQ(run.result.inertia, 0);
    EXPECT_TRUE(run.result.converged);
    EXPECT_EQ(run.index.counts, labels_vector(2, 0));
    bool const given = init == fk::init_method::given;
    EXPECT_EQ(run.centroids[0].values, matrix(2, 3, given ? 1 : 0).values);
  }
  static_assert(std::is_floating_point_v<centroid>);
}

TYPED_TEST(with_options_float, random_init_passes_over_rows_that_are_not_finite) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 40, k = 12;
  matrix x(n, 2);
  for (std::int64_t i = 0; i < n; ++i) x(i, 0) = static_cast<double>(i);
  std::vector<std::int64_t> expected;
  for (std::int64_t j = 0; j < n; ++j) {
    std::int64_t const r = fk::detail::random_centroid(j, n, 0, 3);
    if (j % 3 == 1) {
      x(r, 1) = kInf;
    } else {
      expected.push_back(r);
    }
  }
  expected.resize(at(k));
  stored<TypeParam> points(x);
  stored<centroid> centroids(matrix(k, 2, -1));
  fk::fit_options o;
  o.seed = 3;
  fk::host::init_centroids(points.const_view(), centroids.view(), o);
  EXPECT_EQ(centroids.get().values, take_rows(x, expected).values);
}

TYPED_TEST(with_options_float, check_input_names_the_first_row_and_writes_nothing) {
  using centroid = fk::centroid_t<TypeParam>;
  std::vector<matrix> xs(3, matrix(20, 4, 2));
  fk::fit_options o;
  o.check_input = true;
  EXPECT_NO_THROW(run_fit<TypeParam>(xs, std::vector<matrix>(3, matrix(2, 4, 7)), o));
  xs[1](7, 3) = -kInf;
  xs[1](12, 0) = kNan;
  xs[2](0, 0) = kNan;
  stored<TypeParam> points(xs, layout::interleaved);
  stored<centroid> centroids(std::vector<matrix>(3, matrix(2, 4, 7)));
  labels_vector labels(60, -9);
  index_memory index(3, 20, 2);
  std::vector<fk::fit_status> status(3, {-7, -7, -7, -7, -7});
  try {
    fk::host::fit(points.const_view(), centroids.view(),
                  {labels.data(), index.view(), status.data()}, o);
    ADD_FAILURE() << "was taken";
  } catch (std::invalid_argument const& error) {
    EXPECT_NE(std::string(error.what()).find("x of problem 1, row 7, feature 3 is -inf"),
              std::string::npos)
        << error.what();
  }
  for (std::int64_t p = 0; p < 3; ++p) EXPECT_EQ(centroids.get(p).values, matrix(2, 4, 7).values);
  EXPECT_EQ(labels, labels_vector(60, -9));
  EXPECT_EQ(index.counts, labels_vector(6, -9));
  EXPECT_EQ(status[0].iterations, -7);
}

// ---- Threads ----

TYPED_TEST(with_options_float, any_number_of_threads_gives_the_same_bits_with_options) {
  using centroid = fk::centroid_t<TypeParam>;
  for (std::uint64_t const b : {1, 25}) {
    std::int64_t const n = b == 1 ? 9001 : 400, k = 14, d = 11;
    std::vector<matrix> xs, cs;
    std::vector<std::vector<double>> ws;
    for (std::uint64_t p = 0; p < b; ++p) {
      xs.push_back(real_points(n, d, 200 + p));
      for (std::int64_t i = 5; i < n; i += 97) xs.back()(i, 3) = kNan;
      cs.push_back(some_centroids<TypeParam>(k, d, 300 + p, {6, 9}));
      ws.push_back(real_points(n, 1, 400 + p).values);
      for (double& w : ws.back()) w = std::abs(w);
    }
    std::vector<centroid> const weights = stored_weights<centroid>(ws);
    for (measure const by : kMeasures) {
      for (vacancy const empty : kVacancies) {
        fk::fit_options o;
        o.init = fk::init_method::given;
        o.metric = metric_of(by);
        o.empty_cluster = policy_of(empty);
        o.weights = weights.data();
        o.max_iterations = 3;
        fitted const one = run_fit<TypeParam>(xs, cs, o, {1});
        for (int const threads : {2, 5}) {
          expect_same_bits(run_fit<TypeParam>(xs, cs, o, {threads}), one);
        }
      }
    }
  }
}

}  // namespace
