// The CPU backend against the fp64 oracle: labels, distances, means, inertia and whole fits, over
// point types, shapes, layouts and numbers of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <flash_kmeans/host.hpp>
#include <limits>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "data.hpp"
#include "host_test.hpp"
#include "reference.hpp"

namespace {

using namespace testing_support;

// The edges of tiles (48 points, 16 centroids, 256 features, blocks of 480 and pieces of 1024
// points) and the features that models have.
std::vector<shape> const kShapes{
    {1, 1, 1},     {1, 1, 64},    {2, 2, 3},    {7, 7, 45},     {16, 16, 24},   {48, 15, 1},
    {49, 17, 3},   {47, 33, 64},  {100, 10, 1}, {97, 16, 128},  {130, 31, 100}, {50, 48, 192},
    {480, 5, 45},  {481, 64, 24}, {60, 9, 255}, {60, 17, 256},  {60, 20, 257},  {40, 5, 513},
    {3000, 2, 45}, {2500, 1, 3},  {1025, 3, 1}, {4000, 130, 24}};

template <class T>
class host : public ::testing::Test {};
TYPED_TEST_SUITE(host, point_types, type_names);

// ---- Exact: integers up to 8, so that every product, norm and sum is a multiple of 1/2 below 2^24
// and no path rounds. Labels, distances, means and inertia must be the oracle's, bit for bit. ----

TYPED_TEST(host, predict_and_inertia_are_exact_on_integers) {
  using centroid = fk::centroid_t<TypeParam>;
  for (shape const& s : kShapes) {
    SCOPED_TRACE(text(s));
    matrix const x = integers<TypeParam>(s.n, s.d, 1), c = integers<TypeParam>(s.k, s.d, 2);
    for (layout const as : {layout::contiguous, layout::padded}) {
      stored<TypeParam> points(x, as);
      stored<centroid> centroids(c, as);
      labels_vector labels(at(s.n), -9);
      std::vector<centroid> distances(at(s.n), -9);
      fk::host::predict(points.const_view(), centroids.const_view(),
                        {labels.data(), distances.data()});
      labels_vector const expected = reference_assign(x, c);
      ASSERT_EQ(labels, expected);
      for (std::int64_t i = 0; i < s.n; ++i) {
        ASSERT_EQ(distances[at(i)], reference_distance(x, i, c, expected[at(i)])) << "point " << i;
      }
      ASSERT_EQ(fk::host::inertia(points.const_view(), centroids.const_view()),
                reference_inertia(x, c, expected));
    }
  }
}

TYPED_TEST(host, more_centroids_than_points_can_be_predicted) {
  matrix const x = integers<TypeParam>(5, 6, 1), c = integers<TypeParam>(70, 6, 2);
  stored<TypeParam> points(x);
  stored<fk::centroid_t<TypeParam>> centroids(c);
  labels_vector labels(5, -9);
  fk::host::predict(points.view(), centroids.view(), labels.data());
  EXPECT_EQ(labels, reference_assign(x, c));
}

TYPED_TEST(host, update_is_exact_on_integers) {
  using centroid = fk::centroid_t<TypeParam>;
  for (shape const& s : kShapes) {
    SCOPED_TRACE(text(s));
    matrix const x = integers<TypeParam>(s.n, s.d, 3), c = integers<TypeParam>(s.k, s.d, 4);
    labels_vector const labels = reference_assign(x, c);
    for (layout const as : {layout::contiguous, layout::padded}) {
      stored<TypeParam> points(x, as);
      stored<centroid> centroids(c, as);
      index_memory index(1, s.n, s.k);
      double shift = kNan;
      double const returned = fk::host::update_centroids(points.const_view(), labels.data(),
                                                         centroids.view(), {index.view(), &shift});
      // Sums are exact, so the mean is one division away: rounded to double, then to the type.
      matrix const expected = rounded_to<centroid>(reference_update(x, labels, c));
      ASSERT_EQ(centroids.get().values, expected.values);
      expect_index(index, labels, 1, s.n, s.k);
      EXPECT_EQ(returned, shift);
      // k d squares of exact differences of two doubles, all positive, added in another order:
      // each of at most k d + 3 roundings is relative 2^-53, on either side.
      double const moved = testing_support::reference_shift(c, expected);
      double const roundings = static_cast<double>(s.k * s.d + 3);
      EXPECT_NEAR(shift, moved, 2 * roundings * 0x1p-53 * moved);
      EXPECT_TRUE(points.poison_is_untouched());
      EXPECT_TRUE(centroids.poison_is_untouched());
    }
  }
}

// All values of these fits are exact in every type, see data.hpp: three updates, by hand.
TYPED_TEST(host, fit_is_exact_and_stops_when_nothing_moves) {
  using centroid = fk::centroid_t<TypeParam>;
  for (std::int64_t const d : {2, 24, 64, 300}) {
    fit_case data = exact_moving(4, 128, d, 5);
    // Its values are at least -33 and stay small enough when unsigned types need them moved.
    double const offset = std::is_unsigned_v<TypeParam> ? 40 : 0;
    for (double& value : data.points.values) value += offset;
    for (double& value : data.centroids.values) value += offset;
    auto const expected = reference_fit(data.points, data.centroids, 300, 0);
    ASSERT_EQ(expected.iterations, 3);
    stored<TypeParam> points(data.points, layout::padded);
    stored<centroid> centroids(data.centroids, layout::padded);
    std::int64_t const n = data.points.rows, k = data.centroids.rows;
    labels_vector labels(at(n), -9);
    index_memory index(1, n, k);
    fk::fit_status status{};
    fk::fit_options options;
    options.init = fk::init_method::given;
    options.tolerance = 0;
    auto const result = fk::host::fit(points.const_view(), centroids.view(),
                                      {labels.data(), index.view(), &status}, options);
    EXPECT_EQ(centroids.get().values, expected.centroids.values);
    EXPECT_EQ(labels, expected.labels);
    EXPECT_EQ(result.iterations, 3);
    EXPECT_TRUE(result.converged);
    EXPECT_EQ(result.inertia, expected.inertia);
    EXPECT_EQ(result.kernel, fk::assign_kernel::host);
    EXPECT_EQ(status.iterations, 3);
    EXPECT_EQ(status.converged, 1);
    EXPECT_EQ(status.inertia, expected.inertia);
    EXPECT_EQ(status.shift, 0);
    expect_index(index, labels, 1, n, k);
    EXPECT_TRUE(points.poison_is_untouched());
    EXPECT_TRUE(centroids.poison_is_untouched());
  }
}

// A score x.c - |c|^2 / 2 is the result of at most d + 3 roundings on every path from an element
// (a product, d - 1 additions and the subtraction; norms are summed in double and rounded once), so
// its error is at most g(d + 3) (sum |x c| + |c|^2 / 2).
template <class C>
double score_error(matrix const& x, std::int64_t i, matrix const& c, std::int64_t j) {
  double terms = 0;
  for (std::int64_t f = 0; f < x.cols; ++f) {
    terms += std::abs(x(i, f) * c(j, f)) + c(j, f) * c(j, f) / 2;
  }
  return growth(x.cols + 3, kUnit<C>) * terms;
}

// How much farther than the nearest centroid that of the label may be. Squared distances are |x|^2
// minus twice the score, so two scores that were mistaken for one another are worth twice the sum
// of their errors; and the oracle's own distances are off by g(d + 3) in double.
template <class C>
double label_slack(matrix const& x, std::int64_t i, matrix const& c, std::int64_t label,
                   std::int64_t nearest) {
  double const distances =
      reference_distance(x, i, c, label) + reference_distance(x, i, c, nearest);
  return 2 * (score_error<C>(x, i, c, label) + score_error<C>(x, i, c, nearest)) +
         growth(x.cols + 3, 0x1p-53) * distances;
}

template <class C>
void expect_nearest(matrix const& x, matrix const& c, labels_vector const& labels) {
  labels_vector const nearest = reference_assign(x, c);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::int32_t const label = labels[at(i)], best = nearest[at(i)];
    ASSERT_GE(label, 0);
    ASSERT_LT(label, c.rows);
    if (label == best) continue;
    ASSERT_LE(reference_distance(x, i, c, label) - reference_distance(x, i, c, best),
              label_slack<C>(x, i, c, label, best))
        << "point " << i << " has label " << label << ", nearest is " << best;
  }
}

template <class T>
class host_float : public ::testing::Test {};
TYPED_TEST_SUITE(host_float, float_types, type_names);

TYPED_TEST(host_float, labels_are_nearest_within_rounding) {
  using centroid = fk::centroid_t<TypeParam>;
  for (shape const& s : kShapes) {
    SCOPED_TRACE(text(s));
    matrix const x = rounded_to<TypeParam>(real_points(s.n, s.d, 6));
    matrix const c = rounded_to<centroid>(real_points(s.k, s.d, 7));
    stored<TypeParam> points(x);
    stored<centroid> centroids(c);
    labels_vector labels(at(s.n), -9);
    std::vector<centroid> distances(at(s.n), -9);
    fk::host::predict(points.const_view(), centroids.const_view(),
                      {labels.data(), distances.data()});
    expect_nearest<centroid>(x, c, labels);
    // A distance: a difference, a square and d - 1 additions in double, then one rounding. The
    // oracle's has the same roundings in double.
    for (std::int64_t i = 0; i < s.n; ++i) {
      double const distance = reference_distance(x, i, c, labels[at(i)]);
      ASSERT_NEAR(distances[at(i)], distance,
                  (2 * growth(s.d + 3, 0x1p-53) + kUnit<centroid>)*distance)
          << "point " << i;
    }
    // n positive terms more.
    double const inertia = fk::host::inertia(points.const_view(), centroids.const_view());
    double const expected = reference_inertia(x, c, labels);
    EXPECT_NEAR(inertia, expected, 2 * growth(s.n + s.d + 3, 0x1p-53) * expected);
  }
}

// Two centroids on either side of a point, the second one nearer by a part in 2^30 (2^8): more than
// rounding in the type can hide, less than in any narrower one.
TYPED_TEST(host_float, labels_tell_apart_what_the_type_resolves) {
  using centroid = fk::centroid_t<TypeParam>;
  double const nearer = std::is_same_v<centroid, double> ? 1 - 0x1p-30 : 1 - 0x1p-8;
  matrix const xs = rounded_to<TypeParam>(real_points(200, 8, 25));
  matrix const away = real_points(200, 8, 26);
  for (std::int64_t i = 0; i < xs.rows; ++i) {
    matrix const x = take_rows(xs, {i});
    matrix c(2, 8);
    for (std::int64_t f = 0; f < 8; ++f) {
      c(0, f) = x(0, f) + away(i, f);
      c(1, f) = x(0, f) - away(i, f) * nearer;
    }
    c = rounded_to<centroid>(c);
    ASSERT_GT(reference_distance(x, 0, c, 0) - reference_distance(x, 0, c, 1),
              label_slack<centroid>(x, 0, c, 0, 1));
    stored<TypeParam> point(x);
    stored<centroid> centroids(c);
    std::int32_t label = -9;
    fk::host::predict(point.const_view(), centroids.const_view(), &label);
    ASSERT_EQ(label, 1) << "point " << i;
  }
}

TYPED_TEST(host_float, means_are_right_within_rounding) {
  using centroid = fk::centroid_t<TypeParam>;
  for (shape const& s : kShapes) {
    SCOPED_TRACE(text(s));
    matrix const x = rounded_to<TypeParam>(real_points(s.n, s.d, 8));
    matrix const c = rounded_to<centroid>(real_points(s.k, s.d, 9));
    labels_vector const labels = reference_assign(x, c);
    stored<TypeParam> points(x);
    stored<centroid> centroids(c);
    fk::host::update_centroids(points.const_view(), labels.data(), centroids.view());
    matrix const expected = reference_update(x, labels, c);
    matrix absolute = x;
    for (double& value : absolute.values) value = std::abs(value);
    // Means of |x| bound what additions in double can lose; the quotient adds one rounding to
    // double and one to the type. An empty cluster's row is c on all sides, with no error.
    matrix const sizes = reference_update(absolute, labels, c);
    matrix const means = centroids.get();
    for (std::size_t e = 0; e < means.values.size(); ++e) {
      ASSERT_NEAR(means.values[e], expected.values[e],
                  2 * growth(s.n + 1, 0x1p-53) * std::abs(sizes.values[e]) +
                      kUnit<centroid> * std::abs(expected.values[e]));
    }
  }
}

TYPED_TEST(host_float, inertia_never_rises) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 2000, k = 12, d = 17;
  matrix const x = rounded_to<TypeParam>(real_points(n, d, 10));
  stored<TypeParam> points(x);
  fk::fit_options options;
  options.init = fk::init_method::given;
  options.tolerance = 0;
  double last = std::numeric_limits<double>::infinity();
  int falls = 0;
  for (int iterations = 1; iterations <= 25; ++iterations) {
    stored<centroid> centroids(rounded_to<centroid>(first_rows(x, k)));
    labels_vector labels(at(n));
    options.max_iterations = iterations;
    auto const result =
        fk::host::fit(points.const_view(), centroids.view(), labels.data(), options);
    matrix const c = centroids.get();
    // What rounding may add. Assignment: the slack of each label. Update: the mean is where the sum
    // of squares is least, so a centroid that is off it by at most u |c| + g(n + 1) mean|x| <=
    // u |c| + g(n + 1) 2 (|x| <= 2) in each feature adds its count times the square of that.
    // Sums: n + d + 3 roundings of positive terms in double.
    labels_vector const nearest = reference_assign(x, c);
    double slack = 2 * growth(n + d + 3, 0x1p-53) * result.inertia;
    for (std::int64_t i = 0; i < n; ++i) {
      slack += label_slack<centroid>(x, i, c, labels[at(i)], nearest[at(i)]);
      for (std::int64_t f = 0; f < d; ++f) {
        double const off =
            kUnit<centroid> * std::abs(c(labels[at(i)], f)) + growth(n + 1, 0x1p-53) * 2;
        slack += off * off;
      }
    }
    EXPECT_LE(result.inertia, last + slack) << "iteration " << iterations;
    // The bound must be able to fail: it is far below what an update gains at first.
    EXPECT_LT(slack, 1e-3 * result.inertia);
    if (result.inertia < last) ++falls;
    last = result.inertia;
  }
  EXPECT_GE(falls, 10);
}

// ---- Ties, NaN, labels that are out of range, empty clusters ----

TYPED_TEST(host, ties_go_to_the_lowest_index) {
  using centroid = fk::centroid_t<TypeParam>;
  // 53 centroids of which each value comes up again and again, in all lanes and blocks.
  matrix const few = integers<TypeParam>(5, 4, 11);
  matrix c(53, 4);
  for (std::int64_t j = 0; j < c.rows; ++j) {
    for (std::int64_t f = 0; f < 4; ++f) c(j, f) = few((j * j + 2) % 5, f);
  }
  matrix x = integers<TypeParam>(300, 4, 12);
  for (std::int64_t i = 0; i < 50; ++i) {
    for (std::int64_t f = 0; f < 4; ++f) x(i, f) = few(i % 5, f);
  }
  stored<TypeParam> points(x);
  stored<centroid> centroids(c);
  labels_vector labels(300, -9);
  fk::host::predict(points.const_view(), centroids.const_view(), labels.data());
  EXPECT_EQ(labels, reference_assign(x, c));
  EXPECT_LT(*std::max_element(labels.begin(), labels.end()), 5);

  // Every centroid the same: all points to the first, whose lane and block are the first.
  stored<centroid> same(matrix(53, 4, 2.0));
  fk::host::predict(points.const_view(), same.const_view(), labels.data());
  EXPECT_EQ(labels, labels_vector(300, 0));
}

TYPED_TEST(host_float, nan_never_wins) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix x = integer_points(100, 20, 13), c = integer_points(40, 20, 14);
  x(3, 0) = x(57, 19) = kNan;
  c(0, 5) = c(16, 0) = c(39, 19) = kNan;
  c(20, 3) = std::numeric_limits<double>::infinity();
  stored<TypeParam> points(x);
  stored<centroid> centroids(c);
  labels_vector labels(100, -9);
  std::vector<centroid> distances(100, -9);
  fk::host::predict(points.const_view(), centroids.const_view(), {labels.data(), distances.data()});
  labels_vector const expected = reference_assign(x, c);
  EXPECT_EQ(labels, expected);
  EXPECT_EQ(labels[3], 0);
  EXPECT_EQ(labels[57], 0);
  for (std::int32_t const never : {16, 20, 39}) {
    EXPECT_EQ(std::count(labels.begin(), labels.end(), never), 0) << never;
  }
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(std::isnan(distances[i]), i == 3 || i == 57) << "point " << i;
  }
  // Rows that are not finite are left out of the inertia.
  std::vector<std::int64_t> finite_rows;
  for (std::int64_t i = 0; i < 100; ++i) {
    if (i != 3 && i != 57) finite_rows.push_back(i);
  }
  matrix const finite = take_rows(x, finite_rows);
  EXPECT_EQ(fk::host::inertia(points.const_view(), centroids.const_view()),
            reference_inertia(finite, c, reference_assign(finite, c)));

  stored<centroid> nothing(matrix(40, 20, kNan));
  fk::host::predict(points.const_view(), nothing.const_view(), labels.data());
  EXPECT_EQ(labels, labels_vector(100, 0));
}

TYPED_TEST(host, labels_out_of_range_count_for_no_cluster) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const n = 400, k = 6, d = 5;
  matrix const x = integers<TypeParam>(n, d, 16), c = integers<TypeParam>(k, d, 17);
  labels_vector labels = reference_assign(x, c);
  std::int32_t const wrong[] = {-1, 6, 7, std::numeric_limits<std::int32_t>::min(),
                                std::numeric_limits<std::int32_t>::max()};
  for (std::size_t i = 0; i < labels.size(); i += 7) labels[i] = wrong[i % 5];
  stored<TypeParam> points(x);
  stored<centroid> centroids(c);
  index_memory index(1, n, k);
  fk::host::update_centroids(points.const_view(), labels.data(), centroids.view(), index.view());
  EXPECT_EQ(centroids.get().values, rounded_to<centroid>(reference_update(x, labels, c)).values);
  expect_index(index, labels, 1, n, k);
  EXPECT_EQ(index.offsets[at(k)], n - 58);  // every seventh of 400 is wrong
}

TYPED_TEST(host, an_empty_cluster_keeps_its_centroid) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix const x = integers<TypeParam>(50, 3, 18), c = integers<TypeParam>(20, 3, 19);
  labels_vector const labels(50, 17);
  stored<TypeParam> points(x);
  stored<centroid> centroids(c);
  index_memory index(1, 50, 20);
  double const shift = fk::host::update_centroids(points.const_view(), labels.data(),
                                                  centroids.view(), index.view());
  matrix const expected = rounded_to<centroid>(reference_update(x, labels, c));
  EXPECT_EQ(centroids.get().values, expected.values);
  for (std::int64_t f = 0; f < 3; ++f) EXPECT_EQ(centroids.get()(16, f), c(16, f));
  expect_index(index, labels, 1, 50, 20);
  // Three squares of differences in double, see update_is_exact_on_integers.
  double const moved = testing_support::reference_shift(c, expected);
  EXPECT_NEAR(shift, moved, 2 * 6 * 0x1p-53 * moved);

  // In a fit: a centroid that is nearest to no point stays where it was, and the fit converges.
  matrix far = first_rows(c, 2);
  for (std::int64_t f = 0; f < 3; ++f) far(1, f) = 1000;
  stored<centroid> two(far);
  labels_vector fitted(50, -9);
  fk::fit_options options;
  options.init = fk::init_method::given;
  auto const result = fk::host::fit(points.const_view(), two.view(), fitted.data(), options);
  EXPECT_TRUE(result.converged);
  for (std::int64_t f = 0; f < 3; ++f) EXPECT_EQ(two.get()(1, f), 1000);
  EXPECT_EQ(fitted, labels_vector(50, 0));
}

// ---- Batches ----

TYPED_TEST(host, every_layout_of_a_batch_gives_each_problem_its_own_result) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 6, n = 70, k = 18, d = 9;
  std::vector<matrix> xs, cs;
  for (std::int64_t i = 0; i < b; ++i) {
    xs.push_back(integers<TypeParam>(n, d, at(100 + i)));
    cs.push_back(integers<TypeParam>(k, d, at(200 + i)));
  }
  for (layout const of_x : {layout::contiguous, layout::padded, layout::interleaved}) {
    for (layout const of_c : {layout::contiguous, layout::padded, layout::interleaved}) {
      stored<TypeParam> points(xs, of_x);
      stored<centroid> centroids(cs, of_c);
      labels_vector labels(at(b * n), -9), expected;
      std::vector<centroid> distances(at(b * n), -9);
      std::vector<matrix> means;
      double inertia = 0;
      fk::host::predict(points.const_view(), centroids.const_view(),
                        {labels.data(), distances.data()});
      for (std::int64_t i = 0; i < b; ++i) {
        labels_vector const own = reference_assign(xs[at(i)], cs[at(i)]);
        expected.insert(expected.end(), own.begin(), own.end());
        inertia += reference_inertia(xs[at(i)], cs[at(i)], own);
        means.push_back(rounded_to<centroid>(reference_update(xs[at(i)], own, cs[at(i)])));
        for (std::int64_t p = 0; p < n; ++p) {
          ASSERT_EQ(distances[at(i * n + p)],
                    reference_distance(xs[at(i)], p, cs[at(i)], own[at(p)]));
        }
      }
      ASSERT_EQ(labels, expected);
      EXPECT_EQ(fk::host::inertia(points.const_view(), centroids.const_view()), inertia);

      index_memory index(b, n, k);
      std::vector<double> shifts(at(b), kNan);
      double const sum = fk::host::update_centroids(
          points.const_view(), labels.data(), centroids.view(), {index.view(), shifts.data()});
      double total = 0;
      for (std::int64_t i = 0; i < b; ++i) {
        EXPECT_EQ(centroids.get(i).values, means[at(i)].values) << "problem " << i;
        double const moved = testing_support::reference_shift(cs[at(i)], means[at(i)]);
        EXPECT_NEAR(shifts[at(i)], moved, 2 * (k * d + 3) * 0x1p-53 * moved);
        total += shifts[at(i)];
      }
      EXPECT_EQ(sum, total);
      expect_index(index, labels, b, n, k);
      EXPECT_TRUE(points.poison_is_untouched());
      EXPECT_TRUE(centroids.poison_is_untouched());
    }
  }
}

TYPED_TEST(host_float, a_converged_problem_of_a_batch_stays_as_it_is) {
  using centroid = fk::centroid_t<TypeParam>;
  std::vector<matrix> xs, cs;
  for (std::uint64_t i = 0; i < 5; ++i) {
    xs.push_back(rounded_to<TypeParam>(real_points(150 * 5, 4, 30 + i)));
    cs.push_back(rounded_to<centroid>(first_rows(xs.back(), 5)));
  }
  fk::fit_options options;
  options.init = fk::init_method::given;
  options.tolerance = 1e-2;  // stops while centroids still move
  for (layout const as : {layout::contiguous, layout::interleaved}) {
    fitted const together = run_fit<TypeParam>(xs, cs, options, {}, as);
    int least = together.status[0].iterations, most = least;
    double inertia = 0;
    for (std::size_t i = 0; i < xs.size(); ++i) {
      SCOPED_TRACE("problem " + std::to_string(i));
      fitted const alone = run_fit<TypeParam>({xs[i]}, {cs[i]}, options);
      EXPECT_TRUE(same_bits(alone.centroids[0].values, together.centroids[i].values));
      EXPECT_TRUE(same_bits<fk::fit_status>({alone.status[0]}, {together.status[i]}));
      EXPECT_TRUE(std::equal(alone.labels.begin(), alone.labels.end(),
                             together.labels.begin() + static_cast<std::ptrdiff_t>(i) * 750));
      EXPECT_GT(alone.status[0].shift, 0);
      EXPECT_EQ(alone.status[0].converged, 1);
      least = std::min<int>(least, together.status[i].iterations);
      most = std::max<int>(most, together.status[i].iterations);
      inertia += together.status[i].inertia;
    }
    EXPECT_LT(least, most) << "no problem waited for another: the data tests nothing";
    EXPECT_EQ(together.result.iterations, most);
    EXPECT_TRUE(together.result.converged);
    EXPECT_EQ(together.result.inertia, inertia);

    // Cut off where only some have converged.
    options.max_iterations = most - 1;
    fitted const cut = run_fit<TypeParam>(xs, cs, options, {}, as);
    options.max_iterations = 300;
    EXPECT_FALSE(cut.result.converged);
    EXPECT_EQ(cut.result.iterations, most - 1);
    for (std::size_t i = 0; i < xs.size(); ++i) {
      EXPECT_EQ(cut.status[i].converged, together.status[i].iterations < most ? 1 : 0);
    }
  }
}

// ---- Threads ----

// Enough work for every thread in every phase, clusters of more than one piece, and a tail in each
// tile; then few large problems, and many small ones.
TYPED_TEST(host_float, any_number_of_threads_gives_the_same_bits) {
  using centroid = fk::centroid_t<TypeParam>;
  struct batch_shape {
    std::uint64_t b;
    std::int64_t n, k, d;
  };
  for (batch_shape const s : {batch_shape{1, 20011, 9, 17}, batch_shape{1, 9001, 1, 33},
                              batch_shape{3, 5003, 40, 19}, batch_shape{41, 301, 18, 33}}) {
    SCOPED_TRACE("b " + std::to_string(s.b) + ", " + text(shape{s.n, s.k, s.d}));
    std::vector<matrix> xs, cs;
    for (std::uint64_t i = 0; i < s.b; ++i) {
      xs.push_back(real_points(s.n, s.d, 50 + i));
      cs.push_back(rounded_to<centroid>(first_rows(rounded_to<TypeParam>(xs.back()), s.k)));
    }
    fk::fit_options options;
    options.init = fk::init_method::given;
    options.max_iterations = 6;
    fitted const one = run_fit<TypeParam>(xs, cs, options, {1});
    stored<TypeParam> points(xs);
    stored<centroid> centroids(one.centroids);
    auto const n = s.b * at(s.n);
    std::vector<centroid> distances_of_one(n);
    labels_vector labels_of_one(n);
    fk::host::predict(points.const_view(), centroids.const_view(),
                      {labels_of_one.data(), distances_of_one.data()}, {}, {1});
    double const inertia_of_one =
        fk::host::inertia(points.const_view(), centroids.const_view(), {}, {1});
    EXPECT_EQ(labels_of_one, one.labels);
    for (int const threads : {2, 5, 0}) {
      SCOPED_TRACE("threads " + std::to_string(threads));
      expect_same_bits(run_fit<TypeParam>(xs, cs, options, {threads}), one);
      std::vector<centroid> distances(n);
      labels_vector labels(n);
      fk::host::predict(points.const_view(), centroids.const_view(),
                        {labels.data(), distances.data()}, {}, {threads});
      EXPECT_EQ(labels, labels_of_one);
      EXPECT_TRUE(same_bits(distances, distances_of_one));
      EXPECT_TRUE(same_bits<double>(
          {fk::host::inertia(points.const_view(), centroids.const_view(), {}, {threads})},
          {inertia_of_one}));
      stored<centroid> moved(cs), moved_by_one(cs);
      fk::host::update_centroids(points.const_view(), labels.data(), moved.view(), {}, {},
                                 {threads});
      fk::host::update_centroids(points.const_view(), labels.data(), moved_by_one.view(), {}, {},
                                 {1});
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(s.b); ++i) {
        EXPECT_TRUE(same_bits(moved.get(i).values, moved_by_one.get(i).values));
      }
    }
  }
}

// Where the work is done is told by the points themselves.
struct watched_float {
  float value = 0;
  static inline std::atomic<int> seen{0};
  static inline std::thread::id caller;
  static inline std::atomic<bool> elsewhere{false};

  explicit operator float() const {
    seen.fetch_add(1, std::memory_order_relaxed);
    if (std::this_thread::get_id() != caller) elsewhere = true;
    if (value == 1e30f) throw std::runtime_error("point 1e30");
    return value;
  }
};

TEST(host_threads, one_thread_is_the_calling_one_and_more_are_more) {
  std::vector<watched_float> points(200000);
  for (std::size_t i = 0; i < points.size(); ++i) points[i].value = static_cast<float>(i % 100);
  std::vector<float> const centroids{1, 2, 3, 4, 5, 6, 7, 8};
  labels_vector labels(50000);
  auto predict = [&](int threads) {
    watched_float::caller = std::this_thread::get_id();
    watched_float::elsewhere = false;
    fk::host::predict(fk::matrix_view<watched_float const>{points.data(), 50000, 4},
                      fk::matrix_view<float const>{centroids.data(), 2, 4}, labels.data(), {},
                      {threads});
    return watched_float::elsewhere.load();
  };
  EXPECT_FALSE(predict(1));
  // The other thread may come too late once; not a hundred times in a row.
  bool shared = false;
  for (int attempt = 0; attempt < 100 && !shared; ++attempt) shared = predict(2);
  EXPECT_TRUE(shared);
}

TEST(host_threads, an_exception_in_a_thread_reaches_the_caller) {
  std::vector<watched_float> points(200000);
  std::vector<float> const centroids(8);
  labels_vector labels(50000);
  for (std::size_t const bad : {std::size_t{0}, std::size_t{100001}, std::size_t{199999}}) {
    points[bad].value = 1e30f;
    for (int const threads : {1, 4}) {
      EXPECT_THROW(fk::host::predict(fk::matrix_view<watched_float const>{points.data(), 50000, 4},
                                     fk::matrix_view<float const>{centroids.data(), 2, 4},
                                     labels.data(), {}, {threads}),
                   std::runtime_error);
    }
    points[bad].value = 0;
  }
}

// ---- Options ----

TYPED_TEST(host, init_draws_distinct_rows_by_seed_and_problem) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 4, n = 90, k = 25, d = 7;
  std::vector<matrix> xs;
  for (std::int64_t i = 0; i < b; ++i) {
    xs.push_back(integers<TypeParam>(n, d, at(60 + i)));
    for (std::int64_t r = 0; r < n; ++r) xs.back()(r, 0) = static_cast<double>(r);  // tells rows
  }
  stored<TypeParam> points(xs, layout::interleaved);
  stored<centroid> centroids(std::vector<matrix>(at(b), matrix(k, d, 99)), layout::padded);
  fk::fit_options options;
  options.seed = 12345;
  fk::host::init_centroids(points.const_view(), centroids.view(), options);
  EXPECT_TRUE(centroids.poison_is_untouched());
  for (std::int64_t i = 0; i < b; ++i) {
    std::vector<std::int64_t> rows;
    for (std::int64_t j = 0; j < k; ++j) {
      rows.push_back(fk::detail::random_centroid(j, n, i, options.seed));
    }
    EXPECT_EQ(centroids.get(i).values, take_rows(xs[at(i)], rows).values) << "problem " << i;
    std::sort(rows.begin(), rows.end());
    EXPECT_EQ(std::unique(rows.begin(), rows.end()), rows.end()) << "problem " << i;
  }

  stored<centroid> given(matrix(k, d, 99));
  stored<TypeParam> first(xs[0]);
  options.init = fk::init_method::given;
  fk::host::init_centroids(first.const_view(), given.view(), options);
  EXPECT_EQ(given.get().values, matrix(k, d, 99).values);
}

TYPED_TEST(host, every_point_is_a_centroid_when_k_is_n) {
  using centroid = fk::centroid_t<TypeParam>;
  matrix x = integers<TypeParam>(60, 5, 70);
  for (std::int64_t r = 0; r < 60; ++r) x(r, 0) = static_cast<double>(r);
  auto const fit = run_fit<TypeParam>({x}, {matrix(60, 5, -1)}, {});
  EXPECT_EQ(fit.result.inertia, 0);
  EXPECT_EQ(fit.result.iterations, 1);
  EXPECT_TRUE(fit.result.converged);
  EXPECT_EQ(fit.index.counts, labels_vector(60, 1));
  for (std::int64_t i = 0; i < 60; ++i) {
    for (std::int64_t f = 0; f < 5; ++f) {
      ASSERT_EQ(fit.centroids[0](fit.labels[at(i)], f), static_cast<centroid>(x(i, f)));
    }
  }
}

TYPED_TEST(host_float, random_init_is_init_centroids_and_a_given_start) {
  using centroid = fk::centroid_t<TypeParam>;
  std::vector<matrix> xs;
  for (std::uint64_t i = 0; i < 3; ++i) xs.push_back(real_points(400, 6, 80 + i));
  std::vector<matrix> const anything(3, matrix(7, 6, 1e6));
  fk::fit_options options;
  options.seed = 4;
  fitted const random = run_fit<TypeParam>(xs, anything, options);
  stored<TypeParam> points(xs);
  stored<centroid> centroids(anything);
  fk::host::init_centroids(points.const_view(), centroids.view(), options);
  options.init = fk::init_method::given;
  expect_same_bits(run_fit<TypeParam>(xs, centroids.get_all(), options), random);
  options.init = fk::init_method::random;
  options.seed = 5;
  EXPECT_FALSE(same_bits(run_fit<TypeParam>(xs, anything, options).centroids[0].values,
                         random.centroids[0].values));
}

TYPED_TEST(host_float, the_closing_assignment_belongs_to_the_returned_centroids) {
  using centroid = fk::centroid_t<TypeParam>;
  std::int64_t const b = 2, n = 900, k = 8, d = 5;
  std::vector<matrix> const xs{real_points(n, d, 90), real_points(n, d, 91)};
  std::vector<matrix> const cs(2, rounded_to<centroid>(real_points(k, d, 92)));
  stored<TypeParam> points(xs);
  auto labels_for = [&](std::vector<matrix> const& of) {
    stored<centroid> centroids(of);
    labels_vector labels(at(b * n), -9);
    fk::host::predict(points.const_view(), centroids.const_view(), labels.data());
    return labels;
  };
  fk::fit_options options;
  options.init = fk::init_method::given;
  options.tolerance = 0;
  options.max_iterations = 3;
  fitted const before = run_fit<TypeParam>(xs, cs, options);
  options.max_iterations = 4;
  fitted const with = run_fit<TypeParam>(xs, cs, options);
  options.closing_assignment = false;
  fitted const without = run_fit<TypeParam>(xs, cs, options);

  EXPECT_EQ(with.labels, labels_for(with.centroids));
  expect_index(with.index, with.labels, b, n, k);
  stored<centroid> centroids(with.centroids);
  EXPECT_EQ(with.result.inertia, fk::host::inertia(points.const_view(), centroids.const_view()));
  EXPECT_EQ(with.result.inertia, with.status[0].inertia + with.status[1].inertia);

  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(same_bits(without.centroids[i].values, with.centroids[i].values));
    EXPECT_TRUE(std::isnan(without.status[i].inertia));
    EXPECT_EQ(without.status[i].shift, with.status[i].shift);
    EXPECT_EQ(without.status[i].iterations, 4);
  }
  EXPECT_TRUE(std::isnan(without.result.inertia));
  EXPECT_EQ(without.labels, labels_for(before.centroids));
  EXPECT_NE(without.labels, with.labels) << "the data does not tell the two apart";
  expect_index(without.index, without.labels, b, n, k);
}

// The first two updates of this data move each of the 4 pairs of centroids by 4^2 + 1^2 and then by
// 1^2 + 4^2 (see data.hpp), so a bound on one side or the other of 4 x 17 stops at 1 or goes on.
TYPED_TEST(host_float, tolerance_is_relative_to_the_mean_variance) {
  fit_case const data = exact_moving(4, 64, 10, 21);
  double const variance = reference_variance(data.points);
  fk::fit_options options;
  options.init = fk::init_method::given;
  // The variance is that of n d terms: relative error well below 1e-9 in any order.
  for (auto const& [factor, iterations] : {std::pair{1 + 1e-9, 1}, std::pair{1 - 1e-9, 3}}) {
    options.tolerance = factor * 4 * 17 / variance;
    fitted const fit = run_fit<TypeParam>({data.points}, {data.centroids}, options);
    EXPECT_EQ(fit.result.iterations, iterations);
    EXPECT_TRUE(fit.result.converged);
    EXPECT_EQ(fit.status[0].shift, iterations == 1 ? 4 * 17 : 0);
  }
  options.tolerance = 0;
  options.max_iterations = 2;
  fitted const cut = run_fit<TypeParam>({data.points}, {data.centroids}, options);
  EXPECT_EQ(cut.result.iterations, 2);
  EXPECT_FALSE(cut.result.converged);
  EXPECT_EQ(cut.status[0].converged, 0);
  EXPECT_EQ(cut.status[0].shift, 4 * 17);
}

// A large offset cancels nothing: the tolerance still sees the small variance.
TEST(host_options, variance_of_data_far_from_the_origin) {
  fit_case data = exact_moving(4, 64, 10, 21);
  double const variance = reference_variance(data.points);
  // Multiples of 1/2 below 2^21: squares, and sums of ten of them, are exact in double.
  for (double& value : data.points.values) value += 0x1p20;
  for (double& value : data.centroids.values) value += 0x1p20;
  fk::fit_options options;
  options.init = fk::init_method::given;
  for (auto const& [factor, iterations] : {std::pair{1 + 1e-9, 1}, std::pair{1 - 1e-9, 3}}) {
    options.tolerance = factor * 4 * 17 / variance;
    EXPECT_EQ(run_fit<double>({data.points}, {data.centroids}, options).result.iterations,
              iterations);
  }
}

TEST(host_options, progress_follows_every_update_on_the_calling_thread) {
  fit_case const moving = exact_moving(4, 1024, 10, 22);
  std::vector<std::pair<int, double>> calls;
  fk::host::execution exec;
  exec.threads = 3;
  fk::fit_options options;
  options.progress = [&, caller = std::this_thread::get_id()](int iteration, double shift) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    calls.emplace_back(iteration, shift);
    return true;
  };
  options.init = fk::init_method::given;
  options.tolerance = 0;
  // The second problem starts where the first one ends and converges at once.
  matrix const end = reference_fit(moving.points, moving.centroids, 300, 0).centroids;
  run_fit<float>({moving.points, moving.points}, {moving.centroids, end}, options, exec);
  EXPECT_EQ(calls, (std::vector<std::pair<int, double>>{{1, 68}, {2, 68}, {3, 0}}));
}

TEST(host_options, an_exception_of_progress_ends_the_fit) {
  matrix const x = real_points(20000, 8, 23);
  int calls = 0;
  fk::host::execution exec;
  exec.threads = 4;
  fk::fit_options options;
  options.progress = [&](int iteration, double) {
    ++calls;
    if (iteration == 2) throw std::runtime_error("enough");
    return true;
  };
  EXPECT_THROW(run_fit<float>({x}, {first_rows(x, 16)}, options, exec), std::runtime_error);
  EXPECT_EQ(calls, 2);
}

// The lines that the documentation of fit shows.
TEST(host_options, quickstart) {
  std::int64_t const n = 1000, d = 3, k = 4;
  std::vector<float> const points = testing_support::to_type<float>(exact_blobs(4, 256, 3, 24));
  std::vector<float> centroids(k * d);
  std::vector<std::int32_t> labels(n);
  flash_kmeans::matrix_view<float const> x{points.data(), n, d};
  flash_kmeans::matrix_view<float> c{centroids.data(), k, d};
  flash_kmeans::fit_result r = flash_kmeans::host::fit(x, c, labels.data());
  EXPECT_TRUE(r.converged);
  EXPECT_GT(r.iterations, 0);
  EXPECT_EQ(r.inertia, flash_kmeans::host::inertia(x, c));
}

}  // namespace
