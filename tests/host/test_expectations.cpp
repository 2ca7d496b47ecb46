// What users of k-means elsewhere rely on, and what other implementations get wrong: relations
// between calls of the CPU backend that hold whatever the numbers are.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <flash_kmeans/host.hpp>
#include <limits>
#include <set>
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
using fk::init_method;

template <class T>
class expectations : public ::testing::Test {};
TYPED_TEST_SUITE(expectations, point_types, type_names);

template <class T>
class expectations_float : public ::testing::Test {};
TYPED_TEST_SUITE(expectations_float, float_types, type_names);

constexpr init_method kInits[] = {init_method::random, init_method::kmeans_plus_plus,
                                  init_method::kmeans_parallel, init_method::given};
constexpr int kFewIterations = 15;

// Integers of a wide range, so that ties of means do not come up.
template <class T>
matrix wide_integers(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  return std::is_unsigned_v<T> ? integer_points(n, d, seed, 0, 120)
                               : integer_points(n, d, seed, -60, 60);
}

// ---- Weights ----

TYPED_TEST(expectations, weights_are_repetitions) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 120, k = 6, d = 4;
  matrix const x = wide_integers<TypeParam>(n, d, 700);
  std::vector<double> const w = some_weights(n, 701);
  std::vector<centroid> const weights = stored_weights<centroid>({w});
  std::vector<std::int64_t> repeated;
  for (std::int64_t i = 0; i < n; ++i) {
    for (int times = 0; times < w[at(i)]; ++times) repeated.push_back(i);
  }
  matrix const start = some_centroids<TypeParam>(k, d, 702, {}, 15);
  for (measure const by : kMeasures) {
    // Policies for empty clusters move whole points, so that they are left aside here.
    SCOPED_TRACE(name_of(by));
    fk::fit_options o;
    o.init = init_method::given;
    o.metric = metric_of(by);
    o.tolerance = 0;
    o.max_iterations = kFewIterations;
    fitted const repeating = run_fit<TypeParam>({take_rows(x, repeated)}, {start}, o);
    o.weights = weights.data();
    fitted const weighing = run_fit<TypeParam>({x}, {start}, o);
    for (std::size_t e = 0; e < at(k * d); ++e) {
      // Directions are summed in another order.
      double const off = by == measure::cosine ? 4 * kUnit<centroid> : 0;
      EXPECT_NEAR(weighing.centroids[0].values[e], repeating.centroids[0].values[e], off);
    }
    for (std::size_t r = 0; r < repeated.size(); ++r) {
      EXPECT_EQ(weighing.labels[at(repeated[r])], repeating.labels[r]);
    }
    EXPECT_NEAR(weighing.result.inertia, repeating.result.inertia,
                1e-6 * std::abs(repeating.result.inertia));
  }
}

TYPED_TEST(expectations, weights_in_proportion_change_nothing_but_inertia) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 300, k = 8, d = 3;
  matrix const x = wide_integers<TypeParam>(n, d, 710);
  std::vector<double> w = some_weights(n, 711);
  std::vector<centroid> const once = stored_weights<centroid>({w});
  for (double& value : w) value *= 4;
  std::vector<centroid> const four = stored_weights<centroid>({w});
  std::vector<centroid> const ones(at(n), 1), eights(at(n), 8);
  for (init_method const init : {init_method::random, init_method::kmeans_plus_plus}) {
    fk::fit_options o;
    o.init = init;
    o.max_iterations = kFewIterations;
    auto const fit = [&](fk::sample_weights weights) {
      o.weights = weights;
      return run_fit<TypeParam>({x}, {matrix(k, d, 0)}, o);
    };
    fitted const plain = fit(nullptr), equal = fit(ones.data()), large = fit(eights.data());
    EXPECT_EQ(equal.centroids[0].values, plain.centroids[0].values);
    EXPECT_EQ(equal.labels, plain.labels);
    EXPECT_EQ(equal.result.inertia, plain.result.inertia);
    EXPECT_EQ(large.centroids[0].values, plain.centroids[0].values);
    EXPECT_EQ(large.result.inertia, 8 * plain.result.inertia);
    fitted const a = fit(once.data()), b = fit(four.data());
    EXPECT_EQ(a.centroids[0].values, b.centroids[0].values);
    EXPECT_EQ(4 * a.result.inertia, b.result.inertia);
  }
}

// ---- Order ----

TYPED_TEST(expectations, the_order_of_points_does_not_matter) {
  std::int64_t const n = 400, k = 7, d = 5;
  matrix const x = wide_integers<TypeParam>(n, d, 720);
  matrix const start = some_centroids<TypeParam>(k, d, 721, {}, 15);
  std::vector<std::int64_t> shuffled(at(n));
  for (std::int64_t i = 0; i < n; ++i) {
    shuffled[at(i)] = static_cast<std::int64_t>(
        fk::detail::random_permutation(static_cast<std::uint64_t>(i), at(n), 5));
  }
  fk::fit_options o;
  o.init = init_method::given;
  o.max_iterations = kFewIterations;
  o.tolerance = 0;
  // Sums of integers are exact in any order.
  fitted const straight = run_fit<TypeParam>({x}, {start}, o);
  fitted const mixed = run_fit<TypeParam>({take_rows(x, shuffled)}, {start}, o);
  EXPECT_EQ(mixed.centroids[0].values, straight.centroids[0].values);
  EXPECT_EQ(mixed.result.iterations, straight.result.iterations);
  EXPECT_EQ(mixed.index.counts, straight.index.counts);
  for (std::int64_t i = 0; i < n; ++i) {
    EXPECT_EQ(mixed.labels[at(i)], straight.labels[at(shuffled[at(i)])]);
  }
}

TYPED_TEST(expectations, the_order_of_centroids_only_renames_clusters) {
  std::int64_t const n = 400, k = 7, d = 5;
  matrix const x = wide_integers<TypeParam>(n, d, 725);
  matrix const start = some_centroids<TypeParam>(k, d, 726, {}, 15);
  std::vector<std::int64_t> backwards;
  for (std::int64_t j = k - 1; j >= 0; --j) backwards.push_back(j);
  fk::fit_options o;
  o.init = init_method::given;
  o.max_iterations = kFewIterations;
  fitted const straight = run_fit<TypeParam>({x}, {start}, o);
  fitted const other = run_fit<TypeParam>({x}, {take_rows(start, backwards)}, o);
  EXPECT_EQ(other.centroids[0].values, take_rows(straight.centroids[0], backwards).values);
  for (std::int64_t i = 0; i < n; ++i)
    EXPECT_EQ(other.labels[at(i)], k - 1 - straight.labels[at(i)]);
}

// ---- What is returned belongs together ----

TYPED_TEST(expectations, labels_inertia_and_counts_are_those_of_the_returned_centroids) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 2, n = 500, k = 9, d = 6;
  std::vector<matrix> const xs{wide_integers<TypeParam>(n, d, 730),
                               wide_integers<TypeParam>(n, d, 731)};
  std::vector<double> const w = some_weights(b * n, 732);
  std::vector<centroid> const weights = stored_weights<centroid>({w});
  for (init_method const init : kInits) {
    for (measure const by : kMeasures) {
      for (int const iterations : {1, 2, 300}) {
        fk::fit_options o;
        o.init = init;
        o.metric = metric_of(by);
        o.weights = weights.data();
        o.max_iterations = iterations;
        fitted const run = run_fit<TypeParam>(xs, {first_rows(xs[0], k), first_rows(xs[1], k)}, o);
        stored<TypeParam> points(xs);
        stored<centroid> centroids(run.centroids);
        fk::query_options query;
        query.metric = o.metric;
        query.weights = o.weights;
        labels_vector labels(at(b * n), -9);
        std::vector<centroid> distances(at(b * n), -9);
        fk::host::predict(points.const_view(), centroids.const_view(),
                          {labels.data(), distances.data()}, query);
        EXPECT_EQ(labels, run.labels);
        expect_index(run.index, labels, b, n, k);
        EXPECT_EQ(fk::host::inertia(points.const_view(), centroids.const_view(), query),
                  run.result.inertia);
        double sum = 0, size = 0;
        for (std::int64_t i = 0; i < b * n; ++i) {
          sum += w[at(i)] * static_cast<double>(distances[at(i)]);
          size += w[at(i)] * std::abs(static_cast<double>(distances[at(i)]));
        }
        EXPECT_NEAR(run.result.inertia, sum, (kUnit<centroid> + growth(b * n, 0x1p-53)) * size);
      }
    }
  }
}

TYPED_TEST(expectations, transform_s_smallest_distance_is_predict_s) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 200, k = 12, d = 6;
  matrix const x = integers<TypeParam>(n, d, 735), c = integers<TypeParam>(k, d, 736);
  stored<TypeParam> points(x);
  stored<centroid> centroids(c), all(matrix(n, k, 0));
  labels_vector labels(at(n)), nearest(at(3 * n));
  std::vector<centroid> distances(at(n));
  fk::host::predict(points.const_view(), centroids.const_view(), {labels.data(), distances.data()});
  fk::host::transform(points.const_view(), centroids.const_view(), all.view());
  fk::host::top_k(points.const_view(), centroids.const_view(), 3, nearest.data());
  matrix const table = all.get();
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<double> const row(table.row(i), table.row(i) + k);
    auto const least = std::min_element(row.begin(), row.end());
    EXPECT_EQ(least - row.begin(), labels[at(i)]);
    EXPECT_EQ(*least, distances[at(i)]);
    EXPECT_EQ(nearest[at(3 * i)], labels[at(i)]);
    EXPECT_LE(row[at(nearest[at(3 * i + 1)])], row[at(nearest[at(3 * i + 2)])]);
  }
}

// ---- Convergence ----

TYPED_TEST(expectations, more_fits_are_never_worse) {
  matrix const x = wide_integers<TypeParam>(250, 3, 740);
  for (init_method const init :
       {init_method::random, init_method::kmeans_plus_plus, init_method::kmeans_parallel}) {
    fk::fit_options o;
    o.init = init;
    double last = std::numeric_limits<double>::infinity();
    std::set<double> different;
    for (o.n_init = 1; o.n_init <= 6; ++o.n_init) {
      double const inertia = run_fit<TypeParam>({x}, {matrix(10, 3, 0)}, o).result.inertia;
      EXPECT_LE(inertia, last);
      different.insert(last = inertia);
    }
    EXPECT_GT(different.size(), 1u) << "no fit was better than the first: the data tests nothing";
  }
}

TYPED_TEST(expectations, tolerance_zero_converges_to_a_fixed_point) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix const x = wide_integers<TypeParam>(600, 4, 750);
  for (init_method const init :
       {init_method::random, init_method::kmeans_plus_plus, init_method::kmeans_parallel}) {
    fk::fit_options o;
    o.init = init;
    o.tolerance = 0;
    fitted const run = run_fit<TypeParam>({x}, {matrix(8, 4, 0)}, o);
    EXPECT_TRUE(run.result.converged);
    EXPECT_LT(run.result.iterations, 300);
    EXPECT_EQ(run.status[0].shift, 0);
    // One more update by the returned labels moves nothing.
    stored<TypeParam> points(x);
    stored<centroid> centroids(run.centroids[0]);
    EXPECT_EQ(fk::host::update_centroids(points.const_view(), run.labels.data(), centroids.view()),
              0);
    // And to go on from there is to be there.
    o.init = init_method::given;
    fitted const again = run_fit<TypeParam>({x}, run.centroids, o);
    EXPECT_EQ(again.result.iterations, 1);
    EXPECT_EQ(again.labels, run.labels);
    EXPECT_EQ(again.centroids[0].values, run.centroids[0].values);
  }
}

TYPED_TEST(expectations, inertia_never_rises_from_update_to_update) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 500, k = 9, d = 5;
  matrix const x = wide_integers<TypeParam>(n, d, 755);
  std::vector<double> const w = some_weights(n, 756);
  std::vector<centroid> const weights = stored_weights<centroid>({w});
  for (measure const by : {measure::euclidean, measure::cosine}) {
    fk::fit_options o;
    o.init = init_method::given;
    o.metric = metric_of(by);
    o.weights = weights.data();
    o.tolerance = 0;
    double last = std::numeric_limits<double>::infinity();
    for (o.max_iterations = 1; o.max_iterations <= 12; ++o.max_iterations) {
      double const inertia = run_fit<TypeParam>({x}, {first_rows(x, k)}, o).result.inertia;
      EXPECT_LE(inertia, last * (1 + 1e-6)) << name_of(by) << ", " << o.max_iterations;
      last = inertia;
    }
  }
}

TYPED_TEST(expectations, as_many_clusters_as_points_leave_no_inertia) {
  matrix x = wide_integers<TypeParam>(70, 5, 760);
  for (std::int64_t i = 0; i < 70; ++i) x(i, 0) = static_cast<double>(i + 1);
  for (init_method const init :
       {init_method::random, init_method::kmeans_plus_plus, init_method::kmeans_parallel}) {
    fk::fit_options o;
    o.init = init;
    fitted const run = run_fit<TypeParam>({x}, {matrix(70, 5, 0)}, o);
    EXPECT_EQ(run.result.inertia, 0);
    EXPECT_EQ(run.index.counts, labels_vector(70, 1));
    labels_vector sorted = run.labels;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
  }
}

TYPED_TEST(expectations, one_cluster_is_the_mean) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix const x = wide_integers<TypeParam>(90, 3, 765);
  for (init_method const init : kInits) {
    fk::fit_options o;
    o.init = init;
    fitted const run = run_fit<TypeParam>({x}, {matrix(1, 3, 7)}, o);
    EXPECT_EQ(
        run.centroids[0].values,
        rounded_to<centroid>(reference_update(x, labels_vector(90, 0), matrix(1, 3, 0))).values);
  }
}

// ---- Seeds ----

TYPED_TEST(expectations, a_seed_is_a_result) {
  matrix const x = wide_integers<TypeParam>(300, 4, 770);
  for (init_method const init :
       {init_method::random, init_method::kmeans_plus_plus, init_method::kmeans_parallel}) {
    fk::fit_options o;
    o.init = init;
    o.max_iterations = 2;
    std::set<std::vector<double>> results;
    for (o.seed = 0; o.seed < 5; ++o.seed) {
      fitted const one = run_fit<TypeParam>({x}, {matrix(6, 4, 0)}, o);
      expect_same_bits(run_fit<TypeParam>({x}, {matrix(6, 4, 99)}, o), one);
      results.insert(one.centroids[0].values);
    }
    EXPECT_EQ(results.size(), 5u);
  }
}

TEST(expectations_of_seeding, k_means_plus_plus_starts_better_than_random) {
  matrix x = real_points(900, 4, 775);
  for (std::int64_t i = 0; i < 900; ++i) x(i, i % 4) += static_cast<double>(i % 15) * 4;
  auto const mean_inertia = [&](init_method init) {
    double sum = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      stored<double> points(x), centroids(matrix(30, 4, 0));
      fk::fit_options o;
      o.init = init;
      o.seed = seed;
      fk::host::init_centroids(points.const_view(), centroids.view(), o);
      sum += fk::host::inertia(points.const_view(), centroids.const_view());
    }
    return sum;
  };
  double const random = mean_inertia(init_method::random);
  EXPECT_LT(mean_inertia(init_method::kmeans_plus_plus), 0.8 * random);
  EXPECT_LT(mean_inertia(init_method::kmeans_parallel), 0.8 * random);
}

// ---- Empty clusters ----

TYPED_TEST(expectations, no_cluster_stays_empty_where_points_are_moved) {
  matrix const x = wide_integers<TypeParam>(200, 4, 780);
  matrix start = first_rows(x, 10);
  for (std::int64_t j = 4; j < 10; ++j) {
    for (std::int64_t f = 0; f < 4; ++f) start(j, f) = 1000 + static_cast<double>(j);
  }
  fk::fit_options o;
  o.init = init_method::given;
  fitted const kept = run_fit<TypeParam>({x}, {start}, o);
  EXPECT_EQ(std::count(kept.index.counts.begin(), kept.index.counts.end(), 0), 6);
  for (vacancy const empty : {vacancy::farthest_point, vacancy::split_largest}) {
    o.empty_cluster = policy_of(empty);
    fitted const run = run_fit<TypeParam>({x}, {start}, o);
    EXPECT_EQ(std::count(run.index.counts.begin(), run.index.counts.end(), 0), 0) << name_of(empty);
    EXPECT_TRUE(run.result.converged) << name_of(empty);
    EXPECT_LT(run.result.inertia, kept.result.inertia) << name_of(empty);
  }
}

TYPED_TEST(expectations, fewer_distinct_points_than_clusters) {
  matrix x(40, 3);
  for (std::int64_t i = 0; i < 40; ++i) {
    for (std::int64_t f = 0; f < 3; ++f) x(i, f) = static_cast<double>(10 * (i % 3) + f);
  }
  for (init_method const init :
       {init_method::random, init_method::kmeans_plus_plus, init_method::kmeans_parallel}) {
    for (vacancy const empty : kVacancies) {
      fk::fit_options o;
      o.init = init;
      o.empty_cluster = policy_of(empty);
      o.max_iterations = kFewIterations;
      fitted const run = run_fit<TypeParam>({x}, {matrix(8, 3, 0)}, o);
      for (double const value : run.centroids[0].values) EXPECT_TRUE(std::isfinite(value));
      // Seedings by distance find all three points, and moving the farthest keeps them.
      if (init != init_method::random && empty != vacancy::split_largest) {
        EXPECT_EQ(run.result.inertia, 0);
      }
    }
  }
}

// ---- Types and metrics ----

TEST(expectations_of_types, float_and_double_agree) {
  matrix const x = rounded_to<float>(real_points(800, 7, 790));
  for (init_method const init : kInits) {
    for (measure const by : {measure::euclidean, measure::cosine}) {
      fk::fit_options o;
      o.init = init;
      o.metric = metric_of(by);
      o.max_iterations = 5;
      fitted const single = run_fit<float>({x}, {first_rows(x, 6)}, o);
      fitted const twice = run_fit<double>({x}, {first_rows(x, 6)}, o);
      // A point that lies within rounding of a border may change sides; five updates of 800 points
      // see none here.
      EXPECT_EQ(single.labels, twice.labels);
      EXPECT_NEAR(single.result.inertia, twice.result.inertia, 1e-5 * twice.result.inertia);
      for (std::size_t e = 0; e < 42; ++e) {
        EXPECT_NEAR(single.centroids[0].values[e], twice.centroids[0].values[e], 1e-5);
      }
    }
  }
}

TYPED_TEST(expectations, cosine_is_euclidean_on_unit_vectors) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix const x = wide_integers<TypeParam>(300, 5, 795);
  matrix const c = some_centroids<TypeParam>(6, 5, 796);
  matrix unit_x = x, unit_c = c;
  reference_options plain;
  for (std::int64_t i = 0; i < x.rows; ++i) reference_to_unit(plain, unit_x, i);
  for (std::int64_t j = 0; j < c.rows; ++j) reference_to_unit(plain, unit_c, j);
  stored<TypeParam> points(x);
  stored<double> unit_points(unit_x), unit_centroids(unit_c);
  stored<centroid> centroids(c);
  labels_vector by_angle(300, -9), by_distance(300, -9);
  std::vector<centroid> angles(300);
  std::vector<double> distances(300);
  fk::query_options query;
  query.metric = fk::metric::cosine;
  fk::host::predict(points.const_view(), centroids.const_view(), {by_angle.data(), angles.data()},
                    query);
  fk::host::predict(unit_points.const_view(), unit_centroids.const_view(),
                    {by_distance.data(), distances.data()});
  EXPECT_EQ(by_angle, by_distance);
  for (std::size_t i = 0; i < 300; ++i) {
    EXPECT_NEAR(angles[i], distances[i] / 2, 4 * kUnit<centroid>);
  }
}

TYPED_TEST(expectations, labels_under_cosine_are_in_range_and_lengths_do_not_matter) {
  std::int64_t const n = 200, k = 5, d = 4;
  matrix x = std::is_unsigned_v<TypeParam> ? integer_points(n, d, 797, 1, 15)
                                           : integer_points(n, d, 797, -15, 15);
  matrix longer = x;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t f = 0; f < d; ++f) longer(i, f) *= 1 << (i % 4);
  }
  fk::fit_options o;
  o.metric = fk::metric::cosine;
  o.init = init_method::given;
  o.max_iterations = 6;
  matrix const start = some_centroids<TypeParam>(k, d, 798);
  fitted const run = run_fit<TypeParam>({x}, {start}, o);
  fitted const same = run_fit<TypeParam>({longer}, {start}, o);
  EXPECT_EQ(same.labels, run.labels);
  for (std::int32_t const label : run.labels) {
    EXPECT_GE(label, 0);
    EXPECT_LT(label, k);
  }
  for (std::int64_t j = 0; j < k; ++j) {
    EXPECT_NEAR(reference_length(run.centroids[0], j), 1, d * kUnit<fk::centroid_t<TypeParam>>);
  }
}

// ---- What others get wrong ----

// |x|^2 beyond 65504 overflows in half, and max(distance, 0) then makes ties of all centroids.
TYPED_TEST(expectations_float, long_rows_keep_their_labels) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix x = integer_points(120, 64, 800), c = integer_points(9, 64, 801);
  for (double& value : x.values) value += 120;  // |x|^2 is about 900 thousand
  for (double& value : c.values) value += 120;
  stored<TypeParam> points(x);
  stored<centroid> centroids(c);
  labels_vector labels(120, -9);
  fk::host::predict(points.const_view(), centroids.const_view(), labels.data());
  EXPECT_EQ(labels, reference_assign(x, c));
  EXPECT_GT(std::set<std::int32_t>(labels.begin(), labels.end()).size(), 3u);
}

// Means are kept in the centroids' type, not rounded to that of the points.
TYPED_TEST(expectations, means_are_not_rounded_to_the_type_of_the_points) {
  matrix const x = wide_integers<TypeParam>(1001, 2, 805);
  fitted const run = run_fit<TypeParam>({x}, {matrix(1, 2, 0)}, {});
  matrix const mean = reference_update(x, labels_vector(1001, 0), matrix(1, 2, 0));
  for (std::size_t e = 0; e < 2; ++e) {
    EXPECT_EQ(run.centroids[0].values[e], as_stored<fk::centroid_t<TypeParam>>(mean.values[e]));
    EXPECT_NE(mean.values[e], std::round(mean.values[e]));
  }
}

// Random first centroids are distinct rows.
TYPED_TEST(expectations, random_draws_without_replacement) {
  matrix x(60, 1);
  for (std::int64_t i = 0; i < 60; ++i) x(i, 0) = static_cast<double>(i);
  stored<TypeParam> points(x);
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    stored<fk::centroid_t<TypeParam>> centroids(matrix(45, 1, -1));
    fk::fit_options o;
    o.seed = seed;
    fk::host::init_centroids(points.const_view(), centroids.view(), o);
    std::vector<double> const rows = centroids.get().values;
    EXPECT_EQ(std::set<double>(rows.begin(), rows.end()).size(), 45u);
  }
}

// Odd numbers of features, and more problems than a 16-bit grid has blocks.
TYPED_TEST(expectations, any_number_of_features_and_problems) {
  for (std::int64_t const d : {1, 2, 3, 5, 15, 17, 192, 200}) {
    matrix const x = wide_integers<TypeParam>(40, d, 810);
    fk::fit_options o;
    o.init = init_method::given;
    o.max_iterations = 3;
    o.tolerance = 0;
    matrix const start = some_centroids<TypeParam>(3, d, 811, {}, 15);
    reference_options ref;
    ref.stored = as_stored<fk::centroid_t<TypeParam>>;
    EXPECT_EQ(run_fit<TypeParam>({x}, {start}, o).centroids[0].values,
              reference_fit(ref, x, start, 3, 0).centroids.values);
  }
}

TYPED_TEST(expectations, many_features_and_many_centroids) {
  using centroid = fk::centroid_t<TypeParam>;
  for (shape const& s : {shape{20, 9, 4096}, shape{6, 300001, 2}}) {
    matrix const x = integers<TypeParam>(s.n, s.d, 820), c = integers<TypeParam>(s.k, s.d, 821);
    stored<TypeParam> points(x);
    stored<centroid> centroids(c);
    labels_vector labels(at(s.n), -9), two(at(2 * s.n), -9);
    fk::host::predict(points.const_view(), centroids.const_view(), labels.data());
    EXPECT_EQ(labels, reference_assign(x, c)) << text(s);
    fk::host::top_k(points.const_view(), centroids.const_view(), 2, two.data());
    for (std::int64_t i = 0; i < s.n; ++i) EXPECT_EQ(two[at(2 * i)], labels[at(i)]) << text(s);
  }
}

TEST(expectations_of_batches, more_than_65535_problems) {
  std::int64_t const b = 70000;
  std::vector<float> points(at(b * 4)), centroids(at(b * 2));
  for (std::int64_t i = 0; i < b; ++i) {
    for (std::int64_t p = 0; p < 4; ++p) {
      points[at(4 * i + p)] = static_cast<float>(i % 97 + (p < 2 ? p : 50 + p));
    }
  }
  labels_vector labels(at(b * 4), -9);
  fk::fit_options o;
  o.init = init_method::kmeans_plus_plus;
  auto const result =
      fk::host::fit(fk::matrix_view<float const>::batched(points.data(), b, 4, 1),
                    fk::matrix_view<float>::batched(centroids.data(), b, 2, 1), labels.data(), o);
  EXPECT_TRUE(result.converged);
  // Two points half away from their mean, twice.
  EXPECT_EQ(result.inertia, static_cast<double>(b));
  for (std::int64_t i = 0; i < b; ++i) {
    ASSERT_EQ(labels[at(4 * i)], labels[at(4 * i + 1)]);
    ASSERT_EQ(labels[at(4 * i + 2)], 1 - labels[at(4 * i)]);
  }
}

}  // namespace
